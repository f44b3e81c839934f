import { useState } from "preact/hooks";
import type { Account, Call } from "../state";
import { because, Mark } from "./parts";

const newest = 50;

// Calls is every call that changed or read AWS, newest first.
export function Calls({ log, accounts }: { log: Call[]; accounts: Account[] }) {
  const [all, setAll] = useState(false);
  const [open, setOpen] = useState(true);
  const shown = log.slice(all ? 0 : -newest).toReversed();
  return (
    <section class={open ? "calls open" : "calls"}>
      <h3>
        <button type="button" class="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
          <span aria-hidden="true">{open ? "▾" : "▸"}</span> AWS calls <span class="quiet">{log.length}</span>
        </button>
      </h3>
      {open && (
        <div class="scroll" tabIndex={0} role="region" aria-label="AWS calls, newest first">
          {log.length === 0 && <p class="quiet">None yet.</p>}
          <ol>
            {shown.map((c, i) => (
              <li key={log.length - i} class={c.result === "ok" ? "" : "failed"}>
                <time>{c.at.slice(11, 19)}</time> <b>{c.call}</b> {c.result !== "ok" && <Mark kind="usual">{/not authorized|denied|expired|invalid/i.test(c.result) ? "denied" : "failed"}</Mark>} <span class="quiet">{accounts.find((a) => a.id === c.account)?.name ?? c.account}</span>
                <span class="why">
                  by {c.by}
                  {c.result !== "ok" && <>: {because(c.result)}</>}
                </span>
              </li>
            ))}
          </ol>
          {log.length > shown.length && (
            <button type="button" class="plain" onClick={() => setAll(true)}>
              Show all {log.length}
            </button>
          )}
        </div>
      )}
    </section>
  );
}
