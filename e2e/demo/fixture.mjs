// A server that shows the page any state, and notes what the page asks of it.
import { createServer } from "node:http";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const root = new URL("../..", import.meta.url).pathname;
const dist = join(root, "cmd/killswitch/demo/page/dist");

const files = { "/": ["index.html", "text/html; charset=utf-8"], "/app.js": ["app.js", "text/javascript; charset=utf-8"], "/app.css": ["app.css", "text/css; charset=utf-8"] };

// What the demo's server sends.
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Serves the page. asked has every POST as [what, body]; answer may say what went wrong. */
export async function serve(state) {
  const streams = new Set();
  const fixture = { asked: [], answer: () => "", state };
  const event = () => `event: state\ndata: ${JSON.stringify(fixture.state)}\n\n`;
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    response.setHeader("Content-Security-Policy", policy);
    if (pathname === "/api/stream") {
      response.writeHead(200, { "Content-Type": "text/event-stream" }).write(event());
      streams.add(response);
      request.on("close", () => streams.delete(response));
    } else if (request.method === "POST") {
      const body = JSON.parse((await request.toArray()).join(""));
      fixture.asked.push([pathname.slice("/api/".length), body]);
      const error = fixture.answer(pathname, body);
      response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(error ? { error } : {}));
    } else if (files[pathname]) {
      const [name, type] = files[pathname];
      response.writeHead(200, { "Content-Type": type }).end(readFileSync(join(dist, name)));
    } else response.writeHead(404).end();
  });
  const listen = (port) => new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  await listen(0);
  const { port } = server.address();
  fixture.url = `http://127.0.0.1:${port}`;
  fixture.show = (change) => {
    fixture.state = { ...fixture.state, ...change };
    for (const s of streams) s.write(event());
  };
  fixture.stop = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  fixture.start = () => listen(port);
  return fixture;
}

export const alice = "U01ALICE";
export const bob = "U02BOB";

const role = (name, more) => ({ name, path: "/", arn: `arn:aws:iam::222222222222:role/${name}`, attached: [], inline: [], tags: {}, sessions: [], exists: true, ...more });

/** A state with some of everything, and nothing in Slack. */
export function company(more = {}) {
  const document = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}';
  return {
    now: "2026-11-21T03:00:00Z",
    speed: 1,
    slack: "ok",
    people: [
      { id: alice, name: "Alice Anderson", role: "responder", title: "Incident responder" },
      { id: bob, name: "Bob Brown", role: "responder", title: "Incident responder" },
      { id: "U05GRACE", name: "Grace Green", role: "guest", title: "Guest of the workspace" },
    ],
    channel: { id: "C01INC", name: "incident" },
    messages: [],
    views: {},
    stories: [
      { id: "stolen-role", title: "Stolen role credentials", summary: "Somebody else has a role's credentials." },
      { id: "storm", title: "A storm", summary: "Ten thousand findings." },
    ],
    story: {
      id: "stolen-role",
      title: "Stolen role credentials",
      steps: [
        { text: "An attacker uses stolen credentials.", who: "attacker", hint: "", state: "done" },
        { text: "Alice asks for containment.", who: alice, hint: '/killswitch revoke_sessions prod/app-role reason="paste site"', state: "current" },
        { text: "Bob approves.", who: bob, hint: "click Approve", state: "todo" },
      ],
      ended: false,
      verdict: "",
    },
    aws: {
      organization: { scps: [{ name: "killswitch-freeze", targets: ["222222222222"], document, ours: true, changed: true }] },
      accounts: [
        {
          id: "222222222222",
          name: "Production",
          protected: false,
          frozen_by: ["killswitch-freeze"],
          roles: [
            role("app-role", {
              attached: ["AdministratorAccess"],
              inline: [{ name: "AWSRevokeOlderSessions", document, ours: true }],
              tags: { killswitch: "KS-4G7QX2M9ZT0B" },
              sessions: [
                { name: "attacker", by: "attacker at 203.0.113.77", works: false, why: "User: x is not authorized to perform: s3:GetObject with an explicit deny in an identity-based policy" },
                { name: "left", by: "attacker at 203.0.113.78", works: true, why: "" },
                { name: "new", by: "web-1", works: true, why: "", ours: true },
              ],
              changed: true,
            }),
            role("old-role", { exists: false, changed: true }),
            role("killswitch-responder", { own: true }),
          ],
          users: [
            { name: "deploy-bot", arn: "arn:aws:iam::222222222222:user/deploy-bot", groups: ["ci"], attached: ["AmazonS3FullAccess"], inline: [], login: true, tags: {}, sessions: [], changed: true,
              keys: [{ id: "AKIADEPLOYBT2EXAMPLE", status: "Inactive", changed: true }, { id: "AKIADEPLOYBT3EXAMPLE", status: "Active" }] },
          ],
          instances: [
            { id: "i-0d3e1a5b7c9f20001", name: "web-1", region: "us-east-1", state: "running", groups: ["sg-1 killswitch-isolation"], profile: "killswitch-isolation", protection: true, tags: { Name: "web-1" }, asg: "web, Standby", reachable: false, changed: true },
          ],
        },
        { id: "999999999999", name: "management", protected: true, frozen_by: [], roles: [], users: [], instances: [] },
      ],
    },
    log: [
      { at: "2026-11-21T03:00:01Z", account: "222222222222", call: "iam:PutRolePolicy", by: "killswitch-responder/KS-4G7QX2M9ZT0B", result: "ok" },
      { at: "2026-11-21T03:00:02Z", account: "222222222222", call: "s3:GetObject", by: "app-role/attacker", result: "User: x is not authorized with an explicit deny in an identity-based policy" },
    ],
    ...more,
  };
}

let n = 0;

/** A message; each is a second later than the one before. */
export function message(more) {
  n++;
  return { ts: `${1795230000 + n}.000001`, thread_ts: "", user: "", bot: true, text: "", blocks: [], edited: 0, ephemeral_to: "", broadcast: false, ...more };
}

/** The bot's golden cards: what it really sends. */
export function cards() {
  return readdirSync(join(root, "bot/cards/testdata"), { recursive: true, encoding: "utf8" })
    .filter((f) => f.endsWith(".json"))
    .sort()
    .map((f) => ({ name: f, ...JSON.parse(readFileSync(join(root, "bot/cards/testdata", f), "utf8")) }))
    .filter((c) => Array.isArray(c.blocks));
}

export const card = (name) => cards().find((c) => c.name === `cards/${name}.json`);

export const section = (text, type = "mrkdwn") => [{ type: "section", block_id: "s", text: { type, text } }];
