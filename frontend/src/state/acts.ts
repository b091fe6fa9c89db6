/** Doing something to the project: one message for success, one for refusal. */
import { notices } from "./notices.svelte";

/** Do it and say how it went; returns the answer, or null where it was refused. */
export async function act<T>(
  what: () => Promise<T>,
  said?: (answer: T) => string,
  undo?: () => void,
): Promise<T | null> {
  try {
    const answer = await what();
    const words = said ? said(answer) : messageOf(answer);
    if (words) notices.say(words, undo ?? null);
    return answer;
  } catch (error) {
    notices.fail(error);
    return null;
  }
}

function messageOf(answer: unknown): string {
  const hasMessage = typeof answer === "object" && answer !== null && "message" in answer;
  return hasMessage ? String(answer.message) : "";
}
