import type { State } from "./state";

// post does one thing and returns what went wrong, or "".
export async function post(what: string, body: object): Promise<string> {
  try {
    const answer = await fetch("/api/" + what, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const { error } = (await answer.json()) as { error?: string };
    return error ?? (answer.ok ? "" : `The demo answered ${answer.status}.`);
  } catch {
    return "The demo does not answer. Is it still running?";
  }
}

// follow calls on with every state, and with null while there is no connection.
export function follow(on: (s: State | null) => void): () => void {
  let source: EventSource;
  let again = 0;
  let wait = 500;
  const open = () => {
    source = new EventSource("/api/stream");
    source.addEventListener("state", (e) => {
      wait = 500;
      on(JSON.parse((e as MessageEvent<string>).data) as State);
    });
    source.onerror = () => {
      on(null);
      source.close();
      again = window.setTimeout(open, wait);
      wait = Math.min(wait * 2, 5000);
    };
  };
  open();
  return () => {
    clearTimeout(again);
    source.close();
  };
}
