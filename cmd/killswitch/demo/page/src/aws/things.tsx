import type { Instance, Key, Role, User } from "../state";
import { chips, Documents, Facts, Mark, tagChips, Thing } from "./parts";

export function RoleItem({ role: r }: { role: Role }) {
  return (
    <Thing id={r.name} kind="role" changed={r.changed} gone={!r.exists} note={may(r)} marks={r.inline.some((p) => p.ours) && r.exists && <Mark kind="good">denied by Killswitch</Mark>}>
      <Facts
        of={[
          ["ARN", r.arn],
          ["Attached", chips(r.attached)],
          ["Inline", r.inline.length ? <Documents policies={r.inline} /> : ""],
          ["Tags", tagChips(r.tags)],
        ]}
      />
    </Thing>
  );
}

// may is a word on what somebody may do: the policies' names.
function may(of: Role | User): string {
  return [...of.attached, ...of.inline.filter((p) => !p.ours).map((p) => p.name)].join(", ") || "no policies";
}

export function UserItem({ user: u }: { user: User }) {
  return (
    <Thing id={u.name} kind="user" changed={u.changed || u.keys.some((k) => k.changed)} note={may(u)} marks={u.keys.map(keyMark)}>
      <Facts
        of={[
          ["ARN", u.arn],
          ["Keys", u.keys.map((k) => <div key={k.id}>{k.id}: {k.status}</div>)],
          ["Password", u.login ? "yes" : "none"],
          ["Groups", chips(u.groups)],
          ["Attached", chips(u.attached)],
          ["Inline", u.inline.length ? <Documents policies={u.inline} /> : ""],
          ["Tags", tagChips(u.tags)],
        ]}
      />
    </Thing>
  );
}

// keyMark tells a key that works from one that does not.
function keyMark(k: Key) {
  const works = k.status === "Active";
  return (
    <Mark key={k.id} kind={works ? "usual" : "good"}>
      <span data-key={k.id}>
        {k.id} {k.status.toLowerCase()}
      </span>
    </Mark>
  );
}

export function InstanceItem({ instance: i }: { instance: Instance }) {
  return (
    <Thing id={i.name || i.id} kind="instance" changed={i.changed} note={i.state} marks={i.changed && <Mark kind={i.reachable ? "bad" : "good"}>{i.reachable ? "reachable" : "cut off"}</Mark>}>
      <Facts
        of={[
          ["ID", `${i.id} in ${i.region}`],
          ["Network", i.reachable ? "reachable" : "cut off"],
          ["Groups", chips(i.groups)],
          ["Profile", i.profile],
          ["Auto Scaling", i.asg],
          ["Termination", i.protection ? "protected" : "not protected"],
          ["Tags", tagChips(i.tags)],
        ]}
      />
    </Thing>
  );
}
