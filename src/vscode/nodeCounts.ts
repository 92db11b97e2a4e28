import { l10n, window } from 'vscode';

export interface NodeCounts {
  readonly spot: number;
  readonly dedicated: number;
}

const pattern = /^\s*(\d{1,4})\s*[,+ ]\s*(\d{1,4})\s*$/;

/** Asks for the numbers of Spot and dedicated nodes, at least `min` in total. Undefined if the user canceled. */
export async function askNodeCounts(
  title: string,
  prompt: string,
  { spot, dedicated }: NodeCounts,
  min: number,
): Promise<NodeCounts | undefined> {
  const counts = (text: string) => {
    const [, spot, dedicated] = pattern.exec(text) ?? [];
    return { spot: Number(spot), dedicated: Number(dedicated) };
  };
  const answer = await window.showInputBox({
    title,
    prompt,
    value: `${spot}, ${dedicated}`,
    ignoreFocusOut: true,
    validateInput(text) {
      const given = counts(text);
      if (given.spot + given.dedicated >= min) return undefined;
      return min > 0
        ? l10n.t('Enter two numbers, at least one of them above 0, such as 5, 0.')
        : l10n.t('Enter two numbers, such as 5, 0.');
    },
  });
  return answer === undefined ? undefined : counts(answer);
}
