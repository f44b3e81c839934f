import { Component, type ComponentChildren } from "preact";
import { Avatar } from "../avatar";
import { key, type Message } from "../state";
import { Blocks, type Press } from "./blocks";
import { useName } from "./names";
import { Mrkdwn } from "./text";

// Shown is what a message's looks depend on beside the message.
export type Shown = {
  press: (m: Message) => Press;
  busy: string; // the key of a message, a space, and its button that waits
  hint: string; // the label of the button that the story asks for
  to: string; // whose screen it is
};

// clock is a message's moment in UTC, as the cards write it.
export const clock = (ts: string) => new Date(Number(ts) * 1000).toISOString().slice(11, 19);

type Props = Shown & { message: Message; above?: ComponentChildren; children?: ComponentChildren };

// MessageItem flashes when its message was edited, and keeps the keyboard's place
// when the button that had it is gone.
export class MessageItem extends Component<Props> {
  item: HTMLLIElement | null = null;
  had = false;

  override componentWillUpdate() {
    this.had = !!this.item?.contains(document.activeElement);
  }

  override componentDidUpdate(before: Props) {
    const item = this.item!;
    if (this.had && document.activeElement === document.body) item.focus({ preventScroll: true });
    if (before.message.edited !== this.props.message.edited) {
      item.classList.add("flash");
      setTimeout(() => item.classList.remove("flash"), 1500);
    }
  }

  override render({ message: m, above, press, busy, hint, to, children }: Props) {
    return (
      <li ref={(e) => { this.item = e; }} class={m.ephemeral_to ? "message ephemeral" : "message"} data-ts={m.ts} tabIndex={-1}>
        {above}
        <Head message={m} to={to} />
        {m.blocks.length > 0 ? (
          <Blocks blocks={m.blocks} press={press(m)} busy={busy.startsWith(key(m)) ? busy.slice(key(m).length + 1) : ""} hint={hint} />
        ) : (
          <div class="text">
            <Mrkdwn text={m.text} />
          </div>
        )}
        {children}
      </li>
    );
  }
}

function Head({ message: m, to }: { message: Message; to: string }) {
  const person = useName(m.user);
  const name = m.bot ? "Killswitch" : person;
  return (
    <div class="head">
      <Avatar id={m.bot ? "" : m.user} name={name} />
      <b>{name}</b>
      {m.bot && <span class="tag">app</span>}
      <time>{clock(m.ts)}</time>
      {m.ephemeral_to && <span class="only">Only visible to {to}</span>}
    </div>
  );
}
