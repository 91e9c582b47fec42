/** Sentences that a run says on its way, each once. */
export interface Remarks {
  /** In the order in which they were first said. */
  said: string[];
  say(text: string): void;
}

/** @param tell told of each sentence the first time that it is said */
export function remarks(tell?: (text: string) => void): Remarks {
  const said: string[] = [];
  return {
    said,
    say(text) {
      if (said.includes(text)) return;
      said.push(text);
      tell?.(text);
    },
  };
}
