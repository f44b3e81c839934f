import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Message } from "../state";

export type Channel = {
  posts: Message[]; // what stands in the channel, oldest first
  replies: Map<string, Message[]>; // by their parent's ts
  byTS: Map<string, Message>;
  newest: string; // ts
};

// arrange sorts the messages that a person sees into the channel and its threads.
export function arrange(messages: Message[], person: string): Channel {
  const seen = messages.filter((m) => !m.ephemeral_to || m.ephemeral_to === person).sort((a, b) => (a.ts < b.ts ? -1 : 1));
  const byTS = new Map(seen.map((m) => [m.ts, m]));
  const replies = new Map<string, Message[]>();
  const posts = seen.filter((m) => {
    const parent = m.thread_ts && m.thread_ts !== m.ts ? byTS.get(m.thread_ts) : undefined;
    if (parent) replies.set(parent.ts, [...(replies.get(parent.ts) ?? []), m]);
    return !parent || m.broadcast;
  });
  return { posts, replies, byTS, newest: seen.at(-1)?.ts ?? "" };
}

const ended = (box: HTMLElement) => box.scrollTop + box.clientHeight > box.scrollHeight - 8;

const handsOff = 4000; // ms after somebody scrolled by hand

// useFollow keeps the newest message in view, and the end where it is on view. But
// it moves nothing under a pointer that is over a button, under the keyboard's
// focus, or right after somebody scrolled: then it says that there is something new.
export function useFollow(channel: Channel, where: string) {
  const { newest } = channel;
  const scroller = useRef<HTMLDivElement>(null);
  const [missed, setMissed] = useState("");
  const seen = useRef({ where: "", newest: "" });
  const touched = useRef(-handsOff);
  const atEnd = useRef(true);

  const item = (ts: string) => scroller.current?.querySelector<HTMLElement>(`[data-ts="${CSS.escape(ts)}"]`);
  const show = (ts: string) => {
    const box = scroller.current;
    const e = item(ts);
    if (!box || !e) return;
    const [b, m] = [box.getBoundingClientRect(), e.getBoundingClientRect()];
    if (m.bottom > b.bottom || m.top < b.top) {
      const down = m.bottom - b.bottom + 8;
      box.scrollTop += m.height > b.height || m.top < b.top ? m.top - b.top - 8 : down;
    }
  };
  const find = (ts: string) => {
    show(ts);
    setMissed("");
    item(ts)?.focus({ preventScroll: true });
  };

  useLayoutEffect(() => {
    const box = scroller.current!;
    const was = seen.current;
    seen.current = { where, newest };
    if (was.where !== where) {
      box.scrollTop = box.scrollHeight;
      setMissed("");
    } else {
      const busy = performance.now() - touched.current < handsOff || box.querySelector(".button:hover, :focus-visible");
      if (!busy && atEnd.current) box.scrollTop = box.scrollHeight;
      if (newest > was.newest) (busy ? setMissed : show)(newest);
    }
    if (box.clientHeight) atEnd.current = ended(box); // not while it is hidden
  }, [channel, where]);

  useEffect(() => {
    const box = scroller.current!;
    const touch = () => (touched.current = performance.now());
    const look = () => {
      atEnd.current = ended(box);
      setMissed((ts) => {
        const e = ts && item(ts);
        return e && e.getBoundingClientRect().top < box.getBoundingClientRect().bottom ? "" : ts;
      });
    };
    const size = new ResizeObserver(() => atEnd.current && (box.scrollTop = box.scrollHeight));
    size.observe(box);
    const inputs = ["wheel", "touchmove", "keydown"] as const;
    inputs.forEach((i) => box.addEventListener(i, touch, { passive: true }));
    box.addEventListener("scroll", look, { passive: true });
    return () => {
      size.disconnect();
      inputs.forEach((i) => box.removeEventListener(i, touch));
      box.removeEventListener("scroll", look);
    };
  }, []);

  return { scroller, missed, find };
}
