import { useState } from "preact/hooks";
import type { Account, Instance, Role, State, User } from "../state";
import { Calls } from "./calls";
import { because, Chip, Documents, Mark, Name, Thing } from "./parts";
import { InstanceItem, RoleItem, UserItem } from "./things";

// AWS is the organization as it really is: nothing in it comes from the cards.
export function AWS({ state }: { state: State }) {
  const { organization, accounts } = state.aws;
  return (
    <div class="aws">
      <div class="scroll" tabIndex={0} role="region" aria-label="The AWS organization">
        <Credentials accounts={accounts} />
        {organization.scps.length > 0 && (
          <section class="account" data-scps>
            <h3>Service control policies</h3>
            <ul>
              {organization.scps.map((p) => (
                <Thing key={p.name} id={p.name} kind="SCP" changed={p.changed} note={"on " + (p.targets.map((t) => accountName(accounts, t)).join(", ") || "nothing")}>
                  <Documents policies={[p]} />
                </Thing>
              ))}
            </ul>
          </section>
        )}
        {[...accounts.filter(touched), ...accounts.filter((a) => !touched(a))].map((a) => (
          <AccountItem key={a.id} account={a} quiet={!touched(a) && accounts.some(touched)} />
        ))}
      </div>
      <Calls log={state.log} accounts={accounts} />
    </div>
  );
}

const accountName = (accounts: Account[], id: string) => accounts.find((a) => a.id === id)?.name ?? id;

// Credentials answers the question that matters first: who can still act?
function Credentials({ accounts }: { accounts: Account[] }) {
  const all = accounts.flatMap((a) => [...a.roles, ...a.users].flatMap((of) => of.sessions.map((s) => ({ a, of, s }))));
  return (
    <section class="credentials" data-credentials>
      <h3>Credentials in use</h3>
      {all.length === 0 && <p class="quiet">None that matter here.</p>}
      <ul>
        {all.map(({ a, of, s }) => {
          const kind = s.ours ? "usual" : s.works ? "bad" : "good";
          return (
            <li key={of.arn + s.name + s.by} class={kind} data-credential={s.name}>
              <Mark kind={kind}>{s.works ? "works" : "denied"}</Mark>
              <span>
                <b>{s.by}</b> as {of.name} in {a.name}
                <span class="why">{s.works ? s.name : because(s.why)}</span>
              </span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

// changed things come first.
const changed = (t: Role | User | Instance) => !!t.changed || ("keys" in t && t.keys.some((k) => k.changed));

// touched reports whether the story is about an account.
function touched(a: Account): boolean {
  const things = [...a.roles, ...a.users, ...a.instances];
  return a.frozen_by.length > 0 || things.some((t) => changed(t) || ("sessions" in t && t.sessions.length > 0));
}

// AccountItem is open if the story is about it, or about none.
function AccountItem({ account: a, quiet }: { account: Account; quiet: boolean }) {
  const [chosen, setOpen] = useState<boolean>();
  const open = chosen ?? !quiet;
  const own = a.roles.filter((r) => r.own);
  const things = [...a.roles.filter((r) => !r.own), ...a.users, ...a.instances];
  return (
    <section class="account" data-account={a.id}>
      <h3>
        <button type="button" class="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
          <span class="arrow" aria-hidden="true">
            {open ? "▾" : "▸"}
          </span>
          <Name text={a.name} /> <span class="quiet">{a.id}</span> {a.protected && <Chip>protected</Chip>} {a.frozen_by.length > 0 && <Mark kind="good">frozen by {a.frozen_by.join(", ")}</Mark>}
        </button>
      </h3>
      {open && things.length + own.length === 0 && <p class="quiet">Nothing in it.</p>}
      <ul hidden={!open}>
        {[...things.filter(changed), ...things.filter((t) => !changed(t))].map((t) => {
          if ("keys" in t) return <UserItem key={t.arn} user={t} />;
          if ("sessions" in t) return <RoleItem key={t.arn} role={t} />;
          return <InstanceItem key={t.id} instance={t} />;
        })}
        {own.length > 0 && (
          <Thing id={`${own.length} roles`} kind="Killswitch’s own" changed={own.some((r) => r.changed)} note="">
            <ul>
              {own.map((r) => (
                <RoleItem key={r.arn} role={r} />
              ))}
            </ul>
          </Thing>
        )}
      </ul>
    </section>
  );
}
