import { render } from "preact";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { follow, post } from "./api";
import { Announcer } from "./announcer";
import { AWS } from "./aws/aws";
import { Reset, Scheme, SlackSwitch, Time } from "./controls";
import type { Draft } from "./slack/composer";
import { Names } from "./slack/names";
import { Phone } from "./slack/phone";
import { keep, type State } from "./state";
import { Picker, Place, Steps, Turn } from "./story";
import { Tabs, useWide } from "./tabs";

function App() {
  const [state, setState] = useState<State | null>(null);
  const [connected, setConnected] = useState(true);
  useEffect(
    () =>
      follow((s) => {
        setConnected(!!s);
        if (s) setState((before) => keep(before, s));
      }),
    [],
  );
  const lost = !connected && (
    <p class="lost" role="status">
      Connection lost. Trying again…
    </p>
  );
  if (!state) return lost || <p class="lost">One moment…</p>;
  return (
    <>
      {lost}
      <Company state={state} />
    </>
  );
}

// wanted is the story that the address asks for, or null.
function wanted(): string | null {
  return new URLSearchParams(location.hash.slice(1)).get("story") ?? new URLSearchParams(location.search).get("story");
}

function Company({ state }: { state: State }) {
  const [seats, setSeats] = useState<[string, string]>(["", ""]);
  const [draft, setDraft] = useState<Draft | null>(null);
  const [tab, setTab] = useState(0);
  const [error, setError] = useState("");
  const [listed, setListed] = useState(false);
  const wide = useWide();
  const names = useMemo(() => ({ people: state.people, channel: state.channel }), [JSON.stringify([state.people, state.channel])]);
  const person = (seat: number) => state.people.find((p) => p.id === seats[seat]) ?? state.people[seat]!;
  const people = [person(0), person(1)];

  const begin = useCallback(async (id: string) => {
    setSeats(["", ""]);
    history.replaceState(null, "", id ? "#story=" + encodeURIComponent(id) : location.pathname);
    setError(await post("story", { id }));
  }, []);
  useLink(state.story.id, begin);

  // A person's screen comes up in the second seat, unless it is on view.
  const look = (id: string) => {
    const seat = people.findIndex((p) => p.id === id);
    if (seat < 0) setSeats([people[0]!.id, id]);
    setTab(seat < 0 ? 1 : seat);
  };
  const type = (user: string, text: string) => {
    look(user);
    setDraft({ user, text });
  };
  const step = state.story.steps.find((s) => s.state === "current");
  const phone = (seat: 0 | 1) => (
    <Phone
      state={state}
      person={people[seat]!}
      draft={draft}
      turn={step?.who === people[seat]!.id ? step.hint : ""}
      choose={(id) => setSeats(seat === 0 ? [id, people[1]!.id] : [people[0]!.id, id])}
    />
  );
  const failed = (e: string) => setError(e);
  const turn = <Turn state={state} people={people} type={type} look={look} begin={begin} failed={failed} />;
  const controls = (
    <>
      <Time state={state} failed={failed} />
      <SlackSwitch state={state} failed={failed} />
      <Reset failed={failed} />
      <Scheme />
    </>
  );
  const first = (name: string) => name.split(" ")[0]!;
  return (
    <Names.Provider value={names}>
      <header class="top">
        <div class="row">
          <h1>
            Killswitch <span class="quiet">demo: an imaginary company</span>
          </h1>
          {wide && <div class="row controls">{controls}</div>}
        </div>
        <section class="story" aria-label="Story">
          {wide && (
            <div class="row">
              <Picker state={state} begin={begin} />
              {state.story.steps.length > 0 && (
                <>
                  <Place state={state} />
                  <button type="button" class="plain" aria-expanded={listed} onClick={() => setListed(!listed)}>
                    {listed ? "Hide the steps" : "All steps"}
                  </button>
                </>
              )}
            </div>
          )}
          {turn}
          {wide && listed && <Steps state={state} />}
        </section>
        {error && (
          <p role="alert" class="wrong">
            {error}
            <button type="button" class="plain" aria-label="Close this notice" onClick={() => setError("")}>
              ✕
            </button>
          </p>
        )}
      </header>
      <Tabs
        wide={wide}
        at={tab}
        go={setTab}
        panels={[
          { name: first(people[0]!.name), title: `Slack, ${people[0]!.name}`, body: phone(0), due: step?.who === people[0]!.id },
          { name: first(people[1]!.name), title: `Slack, ${people[1]!.name}`, body: phone(1), due: step?.who === people[1]!.id },
          { name: "AWS", title: "AWS, as it really is", body: <AWS state={state} /> },
          {
            name: "Story",
            title: "Story and time",
            narrow: true,
            body: (
              <div class="scroll settings">
                <Picker state={state} begin={begin} />
                <p class="quiet">{state.stories.find((s) => s.id === state.story.id)?.summary}</p>
                <Steps state={state} />
                {!wide && controls}
              </div>
            ),
          },
        ]}
      />
      <Announcer state={state} people={people} />
    </Names.Provider>
  );
}

// useLink begins the story that the address names, at first and when it changes. A
// reload goes on where it was.
function useLink(now: string, begin: (id: string) => void) {
  const current = useRef(now);
  current.current = now;
  useEffect(() => {
    const [entry] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
    const id = wanted();
    if (id !== null && !(entry?.type === "reload" && id === current.current)) begin(id);
    const changed = () => {
      const id = wanted();
      if (id !== null) begin(id);
    };
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
}

render(<App />, document.getElementById("app")!);
