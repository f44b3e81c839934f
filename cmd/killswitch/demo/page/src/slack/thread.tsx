import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Message } from "../state";
import { clock, MessageItem, type Shown } from "./message";
import { decode } from "./mrkdwn";

const newest = 4; // replies that are shown at first

type Props = Shown & { parent: Message; replies: Message[]; above?: ComponentChildren; find: (ts: string) => void };

// Thread is a message with its replies. What was also sent to the channel stands
// there, and here only that it does.
export function Thread({ parent, replies, above, find, ...shown }: Props) {
  const [open, setOpen] = useState(true);
  const [all, setAll] = useState(false);
  const from = all ? 0 : Math.max(0, replies.length - newest);
  return (
    <MessageItem message={parent} above={above} {...shown}>
      {replies.length > 0 && (
        <div class="thread">
          <button type="button" class="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
            <span aria-hidden="true">{open ? "▾" : "▸"}</span> {replies.length === 1 ? "1 reply" : `${replies.length} replies`}
          </button>
          {open && from > 0 && (
            <button type="button" class="plain" onClick={() => setAll(true)}>
              Show {from} earlier
            </button>
          )}
          {open && (
            <ol>
              {replies.slice(from).map((m) =>
                m.broadcast ? (
                  <li key={m.ts} class="elsewhere">
                    <button type="button" class="plain" onClick={() => find(m.ts)}>
                      {clock(m.ts)} also in the channel: {firstWords(m.text)}
                    </button>
                  </li>
                ) : (
                  <MessageItem key={m.ts + m.ephemeral_to} message={m} {...shown} />
                ),
              )}
            </ol>
          )}
        </div>
      )}
    </MessageItem>
  );
}

// firstWords is a message in a line.
export function firstWords(text: string): string {
  const line = decode(text.split("\n")[0]!);
  return line.length > 90 ? line.slice(0, 89) + "…" : line;
}
