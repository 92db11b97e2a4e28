/** A text that VS Code shows as it is in the label of an item, even if a file name contains `$(icon)`. */
export function plainText(text: string): string {
  return text.replaceAll('$(', '\\$(');
}
