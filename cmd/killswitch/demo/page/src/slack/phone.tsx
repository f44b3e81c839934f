import { useEffect, useMemo, useState } from "preact/hooks";
import { post } from "../api";
import { Avatar } from "../avatar";
import { Same } from "../same";
import { key, type Element, type Message, type Person, type State } from "../state";
import { buttonKey } from "./blocks";
import { arrange, useFollow } from "./channel";
import { Composer, type Draft } from "./composer";
import { Ask, Modal } from "./dialog";
import { firstWords, Thread } from "./thread";

// toButton goes to the newest button that the story asks for.
function toButton(messages: HTMLElement | null) {
  const button = [...(messages?.querySelectorAll<HTMLElement>(".hinted") ?? [])].at(-1);
  button?.scrollIntoView({ block: "center" });
  button?.focus();
}

const shownAtFirst = 60; // messages of the channel; the rest on demand

type Props = {
  state: State;
  person: Person;
  choose: (id: string) => void;
  draft: Draft | null;
  turn: string; // what the story wants this person to do, or ""
};

// Phone is Slack as one person sees it.
export function Phone({ state, person, choose, draft, turn }: Props) {
  const [asking, setAsking] = useState<{ message: Message; element: Element } | null>(null);
  const [busy, setBusy] = useState("");
  const [wrong, setWrong] = useState("");
  const [all, setAll] = useState(false);
  const where = person.id + state.story.id;
  const channel = useMemo(() => arrange(state.messages, person.id), [state.messages, person.id]);
  const { scroller, missed, find } = useFollow(channel, where);
  useEffect(() => {
    setAsking(null);
    setWrong("");
    setAll(false);
  }, [where]);

  const click = async (m: Message, e: Element) => {
    setAsking(null);
    setBusy(`${key(m)} ${buttonKey(e)}`);
    setWrong(await post("click", { user: person.id, ts: m.ts, action_id: e.action_id, value: e.value }));
    setBusy("");
  };
  const press = (m: Message) => (e: Element) => (e.confirm ? setAsking({ message: m, element: e }) : void click(m, e));
  const hint = /^click (.+)$/i.exec(turn)?.[1]?.trim() ?? "";
  const earlier = all ? 0 : Math.max(0, channel.posts.length - shownAtFirst);

  const thread = (m: Message) => {
    const parent = m.broadcast ? channel.byTS.get(m.thread_ts) : undefined;
    const replies = channel.replies.get(m.ts) ?? [];
    const waits = [m, ...replies].some((x) => busy.startsWith(key(x))) ? busy : "";
    const shown = { press, busy: waits, hint, to: person.name, find };
    const above = parent && (
      <button type="button" class="plain above" onClick={() => find(parent.ts)}>
        <span aria-hidden="true">↳</span> replied to: {firstWords(parent.text)}
      </button>
    );
    return (
      <Same key={key(m)} of={[m, parent, waits, hint, person.id, ...replies]}>
        {() => <Thread parent={m} replies={replies} above={above} {...shown} />}
      </Same>
    );
  };

  const view = state.views[person.id]?.at(-1);
  const covered = !!(view || asking);
  return (
    <div class="phone" data-person={person.id}>
      <div class="screen" inert={covered}>
        <header>
          <Avatar id={person.id} name={person.name} />
          <label>
            <span class="quiet">Slack as seen by</span>
            <select value={person.id} onChange={(e) => choose(e.currentTarget.value)}>
              {state.people.map((p) => (
                <option key={p.id} value={p.id} selected={p.id === person.id}>
                  {p.name} · {p.title}
                </option>
              ))}
            </select>
          </label>
          {turn && !hint && <span class="turn">your turn</span>}
          {hint && (
            <button type="button" class="turn" aria-label="your turn: show the button" onClick={() => toButton(scroller.current)}>
              your turn <span aria-hidden="true">↓</span>
            </button>
          )}
        </header>
        <div class="scroll messages" ref={scroller} tabIndex={0} role="region" aria-label={`#${state.channel.name} as ${person.name} sees it`}>
          <p class="quiet start">This is the beginning of #{state.channel.name}.</p>
          {earlier > 0 && (
            <button type="button" class="plain" onClick={() => setAll(true)}>
              Show {earlier} earlier messages
            </button>
          )}
          <ol>{channel.posts.slice(earlier).map(thread)}</ol>
        </div>
        {missed && (
          <button type="button" class="button missed" onClick={() => find(missed)}>
            New message
          </button>
        )}
        {wrong && (
          <p role="alert" class="wrong">
            {wrong}
            <button type="button" class="plain" aria-label="Close this notice" onClick={() => setWrong("")}>
              ✕
            </button>
          </p>
        )}
        <Composer user={person.id} name={person.name} draft={draft} send={(text) => post("command", { user: person.id, text })} />
      </div>
      {asking && <Ask confirm={asking.element.confirm!} yes={() => click(asking.message, asking.element)} no={() => setAsking(null)} />}
      {view && !asking && (
        <Modal
          key={view.id}
          view={view}
          submit={(values) => post("submit", { user: person.id, view: view.id, values })}
          choose={(block, action, value, values) => post("choose", { user: person.id, view: view.id, block, action, value, values })}
          close={() => void post("dismiss", { user: person.id, view: view.id })}
        />
      )}
    </div>
  );
}
