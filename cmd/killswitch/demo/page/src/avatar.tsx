import { useContext } from "preact/hooks";
import { Names } from "./slack/names";

// Avatar is a person's initials, or the bot's sign. It says nothing that the name
// beside it does not say.
export function Avatar({ id, name }: { id: string; name: string }) {
  const names = useContext(Names);
  if (!id) {
    return (
      <svg class="avatar bot" viewBox="0 0 16 16" aria-hidden="true">
        <path d="M5.2 5a4 4 0 1 0 5.6 0M8 3v5" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />
      </svg>
    );
  }
  const initials = name.split(" ").map((w) => w[0]).join("").slice(0, 2);
  return (
    <span class={"avatar tint" + (names.people.findIndex((p) => p.id === id) % 6)} aria-hidden="true">
      {initials}
    </span>
  );
}
