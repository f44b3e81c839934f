import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Confirm, View } from "../state";
import { Blocks, values } from "./blocks";
import { plain } from "./text";

const focusable = "button, input, select, textarea, a[href], [tabindex='0']";

type Frame = {
  title: string;
  close: () => void;
  alert?: boolean; // asks before something happens
  children: ComponentChildren;
};

// Frame is a dialog over one person's screen. The other person's stays usable: it
// is another phone. Focus moves in unless it is on that other phone.
function Frame({ title, close, alert, children }: Frame) {
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const here = box.current!;
    const before = document.activeElement as HTMLElement;
    const phone = here.closest(".phone");
    if (before === document.body || phone?.contains(before)) (here.querySelector<HTMLElement>("[data-first]") ?? here).focus();
    // What lies under the dialog can be focused again only when it is gone.
    return () => setTimeout(() => document.activeElement === document.body && before.focus({ preventScroll: true }));
  }, []);
  const keys = (e: KeyboardEvent) => {
    if (e.key === "Escape") {
      e.stopPropagation();
      close();
    }
    if (e.key !== "Tab") return;
    const all = [...box.current!.querySelectorAll<HTMLElement>(focusable)].filter((f) => f.offsetParent);
    const edge = e.shiftKey ? all[0] : all.at(-1);
    if (document.activeElement === edge || document.activeElement === box.current) {
      e.preventDefault();
      (e.shiftKey ? all.at(-1) : all[0])?.focus();
    }
  };
  return (
    <div class="veil">
      <div ref={box} class="dialog" role={alert ? "alertdialog" : "dialog"} aria-modal="true" aria-labelledby={id} aria-describedby={alert ? id + "text" : undefined} tabIndex={-1} onKeyDown={keys}>
        <header>
          <h3 id={id}>{title}</h3>
          {!alert && (
            <button type="button" class="plain" aria-label="Close" onClick={close}>
              ✕
            </button>
          )}
        </header>
        <div class="within" id={id + "text"}>
          {children}
        </div>
      </div>
    </div>
  );
}

// Ask is a button's confirm dialog. Going back comes first.
export function Ask({ confirm, yes, no }: { confirm: Confirm; yes: () => void; no: () => void }) {
  return (
    <Frame title={plain(confirm.title)} close={no} alert>
      <p>{plain(confirm.text)}</p>
      <footer>
        <button type="button" class="button" data-first onClick={no}>
          {plain(confirm.deny)}
        </button>
        <button type="button" class={"button " + (confirm.style ?? "primary")} data-confirm onClick={yes}>
          {plain(confirm.confirm)}
        </button>
      </footer>
    </Frame>
  );
}

type Values = ReturnType<typeof values>;

type Modal = {
  view: View;
  submit: (values: Values) => Promise<string>;
  choose: (block: string, action: string, value: string, values: Values) => Promise<string>;
  close: () => void;
};

// Modal is a view that the bot opened.
export function Modal({ view, submit, choose, close }: Modal) {
  const [wrong, setWrong] = useState("");
  const v = view.view;
  const send = async (e: SubmitEvent) => {
    e.preventDefault();
    setWrong(await submit(values(e.target as HTMLFormElement)));
  };
  return (
    <Frame title={plain(v.title)} close={close}>
      <form onSubmit={send}>
        <div class="scroll" tabIndex={0} role="region" aria-label={plain(v.title)}>
          <Blocks blocks={v.blocks} press={() => {}} change={async (block, action, value, form) => setWrong(await choose(block, action, value, values(form)))} />
        </div>
        {wrong && (
          <p role="alert" class="wrong">
            {wrong}
          </p>
        )}
        <footer>
          <button type="button" class="button" onClick={close}>
            {plain(v.close) || "Close"}
          </button>
          {v.submit && (
            <button type="submit" class="button primary">
              {plain(v.submit)}
            </button>
          )}
        </footer>
      </form>
    </Frame>
  );
}
