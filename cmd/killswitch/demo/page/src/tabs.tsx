import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

const query = matchMedia("(min-width: 1000px)");

// useWide reports whether there is room for all at once.
export function useWide(): boolean {
  const [wide, setWide] = useState(query.matches);
  useEffect(() => {
    const on = () => setWide(query.matches);
    query.addEventListener("change", on);
    return () => query.removeEventListener("change", on);
  }, []);
  return wide;
}

type Panel = { name: string; title: string; body: ComponentChildren; due?: boolean; narrow?: boolean };

type Props = { wide: boolean; at: number; go: (n: number) => void; panels: Panel[] };

// Tabs shows its panels side by side, or one at a time on a phone. Those that are
// not on view stay where they were.
export function Tabs({ wide, at, go, panels }: Props) {
  const keys = (e: KeyboardEvent) => {
    const step = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    const next = (at + step + panels.length) % panels.length;
    go(next);
    document.getElementById("tab" + next)?.focus();
  };
  return (
    <>
      <main class={wide ? "wide" : "narrow"}>
        {panels.map((p, i) => {
          if (wide && p.narrow) return null;
          return (
            <section key={i} id={"panel" + i} class="panel" hidden={!wide && i !== at} role={wide ? "region" : "tabpanel"} aria-label={p.title}>
              <h2 class={p.name === "AWS" ? "" : "hide"}>{p.title}</h2>
              {p.body}
            </section>
          );
        })}
      </main>
      {!wide && (
        <nav aria-label="What to look at">
          <div class="tabs" role="tablist" aria-label="What to look at" onKeyDown={keys}>
          {panels.map((p, i) => (
            <button key={i} type="button" id={"tab" + i} role="tab" aria-selected={i === at} aria-controls={"panel" + i} tabIndex={i === at ? 0 : -1} onClick={() => go(i)}>
              {p.name}
              {p.due && (
                <span class="due">
                  <span aria-hidden="true">●</span>
                  <span class="hide">, whose turn it is</span>
                </span>
              )}
            </button>
          ))}
          </div>
        </nav>
      )}
    </>
  );
}
