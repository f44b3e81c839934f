import { useEffect, useRef, useState } from "preact/hooks";

const history = new Map<string, string[]>(); // what each person sent, oldest first

// Draft is what the story types for a person.
export type Draft = { user: string; text: string };

type Props = { user: string; name: string; draft: Draft | null; send: (text: string) => Promise<string> };

// Composer is where a person types commands; ↑ brings back what was sent.
export function Composer({ user, name, draft, send }: Props) {
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState("");
  const [waits, setWaits] = useState(false);
  const back = useRef(0); // how far into the history
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    setText("");
    setWrong("");
    back.current = 0;
  }, [user]);
  useEffect(() => {
    if (draft?.user !== user) return;
    setText(draft.text.replace(/^\/killswitch ?/, ""));
    field.current?.focus();
  }, [draft, user]);

  const sent = history.get(user) ?? [];
  const submit = async (e: Event) => {
    e.preventDefault();
    if (waits) return;
    setWaits(true);
    const error = await send(text.trim().replace(/^\/killswitch\b */, ""));
    setWaits(false);
    setWrong(error);
    if (error) return;
    if (text.trim()) history.set(user, [...sent.filter((s) => s !== text), text]);
    back.current = 0;
    setText("");
  };
  const keys = (e: KeyboardEvent) => {
    const step = e.key === "ArrowUp" ? 1 : e.key === "ArrowDown" ? -1 : 0;
    if (!step) return;
    e.preventDefault();
    back.current = Math.min(sent.length, Math.max(0, back.current + step));
    setText(back.current ? sent.at(-back.current)! : "");
  };
  return (
    <form class="composer" onSubmit={submit}>
      {wrong && (
        <p role="alert" class="wrong">
          {wrong}
        </p>
      )}
      <div class="field">
        <span aria-hidden="true">/killswitch</span>
        <input
          ref={field}
          type="text"
          aria-label={`Command, as ${name}: /killswitch`}
          placeholder="help"
          autocomplete="off"
          autocapitalize="off"
          autocorrect="off"
          spellcheck={false}
          enterkeyhint="send"
          value={text}
          onInput={(e) => setText(e.currentTarget.value)}
          onKeyDown={keys}
        />
        <button type="submit" class="button primary" aria-busy={waits}>
          Send
        </button>
      </div>
    </form>
  );
}
