import type { Block, Element, Option, Rich, Text } from "../state";
import { plain, RichText, TextObject } from "./text";

// Press is what a button does.
export type Press = (e: Element) => void;

type Shown = {
  blocks: Block[];
  press: Press;
  busy?: string; // the button that waits for its answer, as buttonKey has it
  hint?: string; // the label of the button that the story asks for
  change?: (block: string, action: string, value: string, form: HTMLFormElement) => void; // of a field that the bot wants to hear of
};

export const buttonKey = (e: Element) => `${e.action_id} ${e.value}`;

// Blocks draws Block Kit. What it does not know it says so instead of leaving it out.
export function Blocks(p: Shown) {
  return (
    <div class="blocks">
      {p.blocks.map((b, i) => (
        <div key={b.block_id || i} class={"block " + b.type} data-block={b.block_id}>
          <OneBlock {...p} block={b} />
        </div>
      ))}
    </div>
  );
}

function OneBlock(p: Shown & { block: Block }) {
  const b = p.block;
  switch (b.type) {
    case "header":
      return <h3>{plain(b.text)}</h3>;
    case "section":
      return (
        <>
          <div class="text">
            {b.text && <TextObject text={b.text} />}
            {b.fields && <Fields fields={b.fields} />}
          </div>
          {b.accessory && <OneElement {...p} element={b.accessory} />}
        </>
      );
    case "context":
      return (
        <>
          {b.elements?.map((e, i) => (
            <span key={i} class="text">
              {e.type === "image" ? `[${e.alt_text}]` : <TextObject text={e as unknown as Text} />}
            </span>
          ))}
        </>
      );
    case "actions":
      return <>{b.elements?.map((e) => <OneElement key={buttonKey(e)} {...p} element={e} />)}</>;
    case "divider":
      return <hr />;
    case "rich_text":
      return (
        <div class="text">
          <RichText elements={b.elements as Rich[] | undefined} />
        </div>
      );
    case "input":
      return <Input block={b} change={p.change} />;
    case "image":
      return <>[{b.alt_text}]</>;
  }
  return <>({b.type}: not shown in the demo)</>;
}

function Fields({ fields }: { fields: Text[] }) {
  return (
    <div class="fields">
      {fields.map((f, i) => (
        <div key={i}>
          <TextObject text={f} />
        </div>
      ))}
    </div>
  );
}

function OneElement(p: Shown & { element: Element }) {
  const e = p.element;
  if (e.type !== "button") return <>({e.type}: not shown in the demo)</>;
  const busy = p.busy === buttonKey(e);
  const label = plain(e.text);
  return (
    <button
      type="button"
      class={["button", e.style ?? "", p.hint === label ? "hinted" : ""].join(" ")}
      data-action={e.action_id}
      aria-label={e.accessibility_label}
      aria-haspopup={e.confirm ? "dialog" : undefined}
      aria-busy={busy}
      onClick={() => !busy && p.press(e)}
    >
      {label}
    </button>
  );
}

// Input is a field of a modal; the form finds it by its name.
function Input({ block: b, change }: { block: Block; change: Shown["change"] }) {
  const e = b.element;
  if (!e) return null;
  const name = JSON.stringify([b.block_id, e.action_id]);
  const hint = b.hint && (
    <span class="quiet" id={name + "hint"}>
      {plain(b.hint)}
    </span>
  );
  const optional = b.optional && <span class="quiet"> (optional)</span>;
  const described = b.hint ? name + "hint" : undefined;
  if (e.type === "radio_buttons") {
    return (
      <fieldset aria-describedby={described}>
        <legend>
          {plain(b.label)}
          {optional}
        </legend>
        {e.options?.map((o) => (
          <label key={o.value} class="choice">
            <input type="radio" name={name} value={o.value} required={!b.optional} defaultChecked={o.value === e.initial_option?.value} /> {plain(o.text)}
          </label>
        ))}
        {hint}
      </fieldset>
    );
  }
  const common = { name, required: !b.optional, "aria-describedby": described };
  const typed = { ...common, defaultValue: e.initial_value, placeholder: plain(e.placeholder), minLength: e.min_length, maxLength: e.max_length };
  return (
    <>
      <label>
        <span>
          {plain(b.label)}
          {optional}
        </span>
        {e.type === "plain_text_input" && (e.multiline ? <textarea rows={4} {...typed} /> : <input type="text" autocomplete="off" {...typed} />)}
        {e.type === "static_select" && (
          <select {...common} onChange={(event) => b.dispatch_action && change?.(b.block_id!, e.action_id!, event.currentTarget.value, event.currentTarget.form!)}>
            {(b.optional || !e.initial_option) && <option value="">{plain(e.placeholder) || "Choose"}</option>}
            <Options of={e.options} initial={e.initial_option} />
            {e.option_groups?.map((g) => (
              <optgroup key={plain(g.label)} label={plain(g.label)}>
                <Options of={g.options} initial={e.initial_option} />
              </optgroup>
            ))}
          </select>
        )}
        {e.type !== "plain_text_input" && e.type !== "static_select" && `(${e.type}: not shown in the demo)`}
      </label>
      {hint}
    </>
  );
}

function Options({ of, initial }: { of?: Option[]; initial?: Option }) {
  return (
    <>
      {of?.map((o) => (
        <option key={o.value} value={o.value} selected={o.value === initial?.value}>
          {plain(o.text)}
        </option>
      ))}
    </>
  );
}

// values reads a modal's fields as the API takes them.
export function values(form: HTMLFormElement): Record<string, Record<string, string>> {
  const out: Record<string, Record<string, string>> = {};
  for (const [name, value] of new FormData(form)) {
    const [block, action] = JSON.parse(name) as [string, string];
    if (value !== "") (out[block] ??= {})[action] = String(value);
  }
  return out;
}
