// What the server says: the page keeps nothing of its own but what is on view.

export type Person = { id: string; name: string; role: "responder" | "employee" | "guest" | "outsider"; title: string };

export type Message = {
  ts: string;
  thread_ts: string;
  user: string;
  bot: boolean;
  text: string;
  blocks: Block[];
  edited: number; // how often
  ephemeral_to: string;
  broadcast: boolean; // a reply that is shown in the channel too
};

// Block Kit as the bot sends it. https://docs.slack.dev/reference/block-kit
export type Text = { type: "plain_text" | "mrkdwn"; text: string };

export type Confirm = { title: Text; text: Text; confirm: Text; deny: Text; style?: string };

export type Option = { text: Text; value: string; description?: Text };

export type Element = {
  type: string;
  action_id?: string;
  value?: string;
  text?: Text | string;
  url?: string;
  style?: string;
  confirm?: Confirm;
  accessibility_label?: string;
  alt_text?: string;
  placeholder?: Text;
  multiline?: boolean;
  initial_value?: string;
  min_length?: number;
  max_length?: number;
  options?: Option[];
  option_groups?: { label: Text; options: Option[] }[];
  initial_option?: Option;
  elements?: Rich[];
};

export type Block = {
  type: string;
  block_id?: string;
  text?: Text;
  fields?: Text[];
  accessory?: Element;
  elements?: Element[];
  label?: Text;
  hint?: Text;
  element?: Element;
  optional?: boolean;
  dispatch_action?: boolean;
  alt_text?: string;
};

export type Style = { bold?: boolean; italic?: boolean; strike?: boolean; code?: boolean };

export type Rich = {
  type: string;
  text?: string;
  style?: Style | string;
  url?: string;
  user_id?: string;
  channel_id?: string;
  usergroup_id?: string;
  range?: string;
  name?: string;
  unicode?: string;
  timestamp?: number;
  fallback?: string;
  indent?: number;
  elements?: Rich[];
};

export type View = {
  id: string;
  view: { type: string; callback_id?: string; title: Text; submit?: Text; close?: Text; blocks: Block[] };
};

export type Step = { text: string; who: string; hint: string; state: "done" | "current" | "todo" };

export type Story = { id: string; title: string; steps: Step[]; ended: boolean; verdict: string };

export type Policy = { name: string; document: string; ours?: boolean };

export type Session = { name: string; by: string; works: boolean; why: string; ours?: boolean /* in the right hands */ };

export type Role = {
  name: string;
  path: string;
  arn: string;
  attached: string[];
  inline: Policy[];
  tags: Record<string, string>;
  sessions: Session[];
  exists: boolean;
  own?: boolean; // Killswitch's
  changed?: boolean;
};

export type Key = { id: string; status: string; changed?: boolean };

export type User = {
  name: string;
  arn: string;
  groups: string[];
  attached: string[];
  inline: Policy[];
  keys: Key[];
  login: boolean;
  tags: Record<string, string>;
  sessions: Session[]; // keys that somebody uses
  changed?: boolean;
};

export type Instance = {
  id: string;
  name: string;
  region: string;
  state: string;
  groups: string[];
  profile: string;
  protection: boolean;
  tags: Record<string, string>;
  asg: string;
  reachable: boolean;
  changed?: boolean;
};

export type Account = {
  id: string;
  name: string;
  protected: boolean;
  frozen_by: string[];
  roles: Role[];
  users: User[];
  instances: Instance[];
};

export type SCP = { name: string; targets: string[]; document: string; ours: boolean; changed?: boolean };

export type Call = { at: string; account: string; call: string; by: string; result: string };

export type State = {
  now: string;
  speed: number;
  slack: "ok" | "down" | "limited";
  people: Person[];
  channel: { id: string; name: string };
  messages: Message[];
  views: Record<string, View[]>;
  stories: { id: string; title: string; summary: string }[];
  story: Story;
  aws: { organization: { scps: SCP[] }; accounts: Account[] };
  log: Call[];
};

// keep gives the messages that did not change the objects that they had, so that
// only what changed is drawn again.
export function keep(before: State | null, now: State): State {
  if (!before) return now;
  const had = new Map(before.messages.map((m) => [key(m), m]));
  const messages = now.messages.map((m) => {
    const old = had.get(key(m));
    return old && written(old) === written(m) ? old : m;
  });
  return { ...now, messages };
}

export const key = (m: Message) => m.ts + m.ephemeral_to;

const texts = new WeakMap<Message, string>();

function written(m: Message): string {
  let text = texts.get(m);
  if (text === undefined) texts.set(m, (text = JSON.stringify(m)));
  return text;
}
