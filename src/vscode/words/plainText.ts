/** A text that VS Code shows as it is in the label of an item, even if a file name contains `$(icon)`. */
export function plainText(text: string): string {
  return text.replaceAll('$(', '\\$(');
}

/**
 * A text that VS Code shows as it is in a notification, or below an input box. There it makes links of `[text](target)`,
 * also to commands, and names of files can look like that. A word joiner, which is invisible, keeps the brackets apart.
 */
export function withoutLinks(text: string): string {
  return text.replaceAll('](', ']\u2060(');
}

/** The text as it is, in one line of Markdown. A dollar sign would begin a formula. */
export function textInMarkdown(text: string): string {
  return text.replace(/[\r\n]+/g, ' ').replace(/[\\`*_{}[\]<>()#+!|~&$-]/g, '\\$&');
}
