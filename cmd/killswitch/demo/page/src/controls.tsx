import { post } from "./api";
import type { State } from "./state";

type Props = { state: State; failed: (error: string) => void };

// Time shows the company's clock, and makes it pass.
export function Time({ state, failed }: Props) {
  const go = async (body: object) => failed(await post("time", body));
  return (
    <div class="row" role="group" aria-label="Time">
      <time class="clock" data-clock>
        {state.now.slice(0, 10)} <b>{state.now.slice(11, 19)}</b> UTC
      </time>
      <select aria-label="Speed of time" value={String(state.speed)} onChange={(e) => go({ speed: Number(e.currentTarget.value) })}>
        {[1, 10, 60].map((s) => (
          <option key={s} value={String(s)} selected={s === state.speed}>
            Speed {s} ×
          </option>
        ))}
      </select>
      <button type="button" class="button" onClick={() => go({ advance: "5m" })}>
        +5 min
      </button>
      <button type="button" class="button" onClick={() => go({ advance: "1h" })}>
        +1 h
      </button>
    </div>
  );
}

const modes = { ok: "Slack works", limited: "Slack limits us", down: "Slack is down" };

export function SlackSwitch({ state, failed }: Props) {
  return (
    <select
      aria-label="How Slack is doing"
      class={state.slack === "ok" ? "" : "off"}
      value={state.slack}
      data-slack
      onChange={async (e) => failed(await post("slack", { mode: e.currentTarget.value }))}
    >
      {Object.entries(modes).map(([mode, words]) => (
        <option key={mode} value={mode} selected={mode === state.slack}>
          {words}
        </option>
      ))}
    </select>
  );
}

export function Reset({ failed }: { failed: (error: string) => void }) {
  return (
    <button type="button" class="button" onClick={async () => failed(await post("reset", {}))}>
      Reset
    </button>
  );
}

const schemes = ["system", "light", "dark"];
let scheme = "system";

// use shows the page in a scheme, and keeps that where the browser lets us.
function use(chosen?: string) {
  try {
    if (chosen) localStorage.setItem("scheme", chosen);
    else chosen = localStorage.getItem("scheme") ?? scheme;
  } catch {
    // it is not kept
  }
  scheme = chosen ?? scheme;
  document.documentElement.dataset.scheme = scheme;
}

use();

// Scheme follows the system unless it is told not to.
export function Scheme() {
  return (
    <select aria-label="Colours" onChange={(e) => use(e.currentTarget.value)}>
      {schemes.map((s) => (
        <option key={s} value={s} selected={s === scheme}>
          Colours: {s}
        </option>
      ))}
    </select>
  );
}
