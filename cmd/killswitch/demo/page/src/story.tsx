import { useState } from "preact/hooks";
import { post } from "./api";
import type { Person, State } from "./state";

type Turn = {
  state: State;
  people: Person[]; // whose screens are on view
  type: (user: string, command: string) => void;
  look: (user: string) => void;
  begin: (id: string) => void;
  failed: (error: string) => void;
};

// Turn is the step that is due, and what makes it happen.
export function Turn({ state, people, type, look, begin, failed }: Turn) {
  const [waits, setWaits] = useState(false);
  const { story, stories } = state;
  const step = story.steps.find((s) => s.state === "current");
  if (!step) {
    const next = stories[stories.findIndex((s) => s.id === story.id) + 1];
    return (
      <div class="now">
        <p>
          {story.id ? (
            <span data-verdict>
              <b>The end.</b> {story.verdict}
            </span>
          ) : (
            <>
              Free play: type <code>/killswitch help</code> below, ask for anything, or begin with a story.
            </>
          )}
        </p>
        {next && (
          <button type="button" class="button primary" onClick={() => begin(next.id)}>
            {story.id ? "Next story" : "Begin"}: {next.title}
          </button>
        )}
      </div>
    );
  }
  const person = state.people.find((p) => p.id === step.who);
  const first = person?.name.split(" ")[0];
  const command = person && step.hint.startsWith("/killswitch") ? step.hint : "";
  const go = async () => {
    if (waits) return;
    setWaits(true);
    if (person) look(person.id);
    failed(await post("next", person ? { as: "guide" } : {}));
    setWaits(false);
  };
  return (
    <div class="now">
      <p>
        <span class={"tag " + (person ? "person" : step.who)}>{first ?? (step.who === "attacker" ? "The attacker" : "Next")}</span>{" "}
        <span class="step">{step.text}</span>
        {step.hint && <span class="hint"> {command ? <code>{command}</code> : step.hint}</span>}
      </p>
      <div class="row">
        {command && person && people.includes(person) && (
          <button type="button" class="button" onClick={() => type(person.id, command)}>
            Type it as {first}
          </button>
        )}
        {person && !people.includes(person) && (
          <button type="button" class="button" onClick={() => look(person.id)}>
            Show {first}’s screen
          </button>
        )}
        <button type="button" class="button primary" data-next aria-busy={waits} onClick={go}>
          {person ? "Do it for me" : "Next"}
        </button>
      </div>
    </div>
  );
}

// Place is where the story stands, in numbers.
export function Place({ state }: { state: State }) {
  const { steps } = state.story;
  const n = steps.filter((s) => s.state === "done").length;
  return (
    <span class="place">
      <progress value={n} max={steps.length} aria-label="Steps of the story that are done" /> {n === steps.length ? "all done" : `step ${n + 1} of ${steps.length}`}
    </span>
  );
}

// Steps are all of a story's steps; where it stands is said in words too.
export function Steps({ state }: { state: State }) {
  const words = { done: "done", current: "now", todo: "to come" };
  return (
    <ol class="steps">
      {state.story.steps.map((s, i) => (
        <li key={i} class={s.state} aria-current={s.state === "current" ? "step" : undefined}>
          <span class="mark" aria-hidden="true">
            {s.state === "done" ? "✓" : i + 1}
          </span>
          <span>
            <span class="hide">{words[s.state]}: </span>
            {s.text}
          </span>
        </li>
      ))}
    </ol>
  );
}

export function Picker({ state, begin }: { state: State; begin: (id: string) => void }) {
  return (
    <label class="picker">
      <span>Story</span>
      <select value={state.story.id} onChange={(e) => begin(e.currentTarget.value)} data-picker>
        {state.stories.map((s) => (
          <option key={s.id} value={s.id} selected={s.id === state.story.id} title={s.summary}>
            {s.title}
          </option>
        ))}
        <option value="" selected={state.story.id === ""}>
          Free play
        </option>
      </select>
    </label>
  );
}
