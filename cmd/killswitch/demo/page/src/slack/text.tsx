import type { ComponentChildren } from "preact";
import type { Rich, Style, Text } from "../state";
import { parse, safe, type Node } from "./mrkdwn";
import { Link, Mention } from "./names";

// TextObject shows plain_text to the letter, and mrkdwn as Slack reads it.
export function TextObject({ text }: { text: Text | string | undefined }) {
  if (!text) return null;
  if (typeof text === "string") return <>{text}</>;
  return text.type === "mrkdwn" ? <Mrkdwn text={text.text} /> : <>{text.text}</>;
}

export const plain = (text: Text | string | undefined) => (typeof text === "string" ? text : (text?.text ?? ""));

export const Mrkdwn = ({ text }: { text: string }) => <>{parse(text).map(draw)}</>;

function draw(n: Node, i: number): ComponentChildren {
  switch (n.type) {
    case "text":
      return n.text;
    case "bold":
      return <strong key={i}>{n.children.map(draw)}</strong>;
    case "italic":
      return <em key={i}>{n.children.map(draw)}</em>;
    case "strike":
      return <s key={i}>{n.children.map(draw)}</s>;
    case "quote":
      return <blockquote key={i}>{n.children.map(draw)}</blockquote>;
    case "code":
      return <code key={i}>{n.text}</code>;
    case "fence":
      return <pre key={i}>{n.text}</pre>;
    case "user":
    case "group":
      return <Mention key={i} id={n.id} label={n.label} sign="@" />;
    case "channel":
      return <Mention key={i} id={n.id} label={n.label} sign="#" />;
    case "here":
      return <span key={i} class="mention">{n.text}</span>;
    case "link":
      return safe(n.url) ? <Link key={i} url={n.url}>{n.label}</Link> : n.label;
  }
}

// RichText is a rich_text block's elements.
export const RichText = ({ elements }: { elements: Rich[] | undefined }) => <>{elements?.map(rich)}</>;

function rich(e: Rich, i: number): ComponentChildren {
  const inner = <RichText elements={e.elements} />;
  switch (e.type) {
    case "rich_text_section":
      return <div key={i}>{inner}</div>;
    case "rich_text_preformatted":
      return <pre key={i}>{inner}</pre>;
    case "rich_text_quote":
      return <blockquote key={i}>{inner}</blockquote>;
    case "rich_text_list": {
      const items = e.elements?.map((item, j) => <li key={j}>{rich(item, j)}</li>);
      return e.style === "ordered" ? <ol key={i}>{items}</ol> : <ul key={i}>{items}</ul>;
    }
    case "text":
      return styled(e.text, e.style, i);
    case "link":
      return e.url && safe(e.url) ? <Link key={i} url={e.url}>{styled(e.text || e.url, e.style, i)}</Link> : styled(e.text || e.url, e.style, i);
    case "user":
      return <Mention key={i} id={e.user_id ?? ""} sign="@" />;
    case "usergroup":
      return <Mention key={i} id={e.usergroup_id ?? ""} sign="@" />;
    case "channel":
      return <Mention key={i} id={e.channel_id ?? ""} sign="#" />;
    case "broadcast":
      return <span key={i} class="mention">@{e.range}</span>;
    case "emoji":
      return `:${e.name}:`;
    case "date":
      return e.fallback ?? "";
  }
  return `(${e.type}: not shown in the demo)`;
}

function styled(text: string | undefined, style: Style | string | undefined, i: number): ComponentChildren {
  let out: ComponentChildren = text;
  if (typeof style !== "object") return out;
  if (style.code) out = <code>{out}</code>;
  if (style.bold) out = <strong>{out}</strong>;
  if (style.italic) out = <em>{out}</em>;
  if (style.strike) out = <s>{out}</s>;
  return <span key={i}>{out}</span>;
}
