package ingress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	requestsPath = "/requests" // takes what is asked for in words of Killswitch, or of awskillswitch
	isolatePath  = "/isolate"  // takes the body of the EC2 isolation webhook
)

// IdempotencyHeader names a request: the same name is the same request, whatever the body says.
const IdempotencyHeader = "Idempotency-Key"

// DirectWebhook is the webhook of those who call the function itself. It has no key: IAM decides who may.
const DirectWebhook = "direct"

const (
	maxText    = 2000 // characters of a field
	maxOptions = 20
	maxName    = 255 // characters of an idempotency key
)

// Asked is what a webhook asks for, in the one form that all bodies are brought into. Its JSON is
// the body of the message, of which the request's ID is made.
type Asked struct {
	Action  string            `json:"action"`
	Target  string            `json:"target"`
	Options map[string]string `json:"options,omitempty"`
	Reason  string            `json:"reason"`
}

// Problem is what is wrong with one field of a body.
type Problem struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
	Hint    string `json:"hint,omitempty"`
}

// crockford is that of approvals: a test compares what both make.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// RequestID is the ID of the request that a message makes: of its idempotency key, or else of its
// body on one day of UTC. It is that of approvals.WebhookRequest.
func (w Webhook) RequestID() string {
	seconds, _ := strconv.ParseInt(w.Timestamp, 10, 64)
	text := fmt.Sprintf("killswitch webhook v1\n%s\nbody of day %d\n%s", w.Webhook, seconds/86400, w.Body)
	if w.Key != "" {
		text = fmt.Sprintf("killswitch webhook v1\n%s\nkey\n%s", w.Webhook, w.Key)
	}
	sum := sha256.Sum256([]byte(text))
	return "KS-" + crockford.EncodeToString(sum[:])[:12]
}

// requests queues what a webhook asks for.
func (in *Ingress) requests(ctx context.Context, head Request, length int64) (taker, Response) {
	webhook, no := in.holder(ctx, head, length, func(g Grant) bool { return len(g.Actions) > 0 })
	if no.Status != 0 {
		return nil, no
	}
	return func(ctx context.Context, r Request) Response { return in.request(ctx, webhook, r) }, Response{}
}

// request queues what a webhook asks for, or says all that is wrong with it.
func (in *Ingress) request(ctx context.Context, webhook string, r Request) Response {
	name := r.Header.Get(IdempotencyHeader)
	asked, wrong := in.Webhooks[webhook].read(r.Path, r.Body)
	if !visible(name) || len(name) > maxName {
		wrong = append(wrong, Problem{IdempotencyHeader, "is not a header of visible ASCII characters, 255 at most", "a UUID is one"})
	}
	if len(wrong) > 0 {
		in.Log.WarnContext(ctx, "webhook's request refused", slog.String("webhook", webhook), slog.Int("problems", len(wrong)))
		status := http.StatusBadRequest
		if slices.ContainsFunc(wrong, func(p Problem) bool { return p.Problem == notGranted }) {
			status = http.StatusForbidden
		}
		return inJSON(status, map[string][]Problem{"errors": wrong})
	}
	id, stored := in.queue(ctx, webhook, name, asked)
	if stored.Status != http.StatusOK {
		return stored
	}
	return inJSON(http.StatusAccepted, map[string]string{"request_id": id})
}

// Direct queues what is asked for by calling the function itself, without HTTP, and answers in a
// sentence, which is what awskillswitch's client prints. It returns an error for what is refused:
// Lambda passes that on as the function's error.
func (in *Ingress) Direct(ctx context.Context, body []byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	g := in.Webhooks[DirectWebhook]
	switch {
	case len(g.Actions) == 0:
		in.Log.WarnContext(ctx, "direct invocation is off", slog.Int("bytes", len(body)))
		return "", errors.New("nothing was asked for: this function takes no direct invocation, since the configuration has no webhook " + DirectWebhook + " with actions")
	case len(body) > MaxBody:
		return "", errors.New("nothing was asked for: the payload is over 256 KiB")
	}
	asked, wrong := g.read(requestsPath, body)
	if len(wrong) > 0 {
		in.Log.WarnContext(ctx, "webhook's request refused", slog.String("webhook", DirectWebhook), slog.Int("problems", len(wrong)))
		var all []string
		for _, p := range wrong {
			all = append(all, strings.TrimSuffix(p.Field+" "+p.Problem+": "+p.Hint, ": "))
		}
		return "", errors.New("nothing was asked for: " + strings.Join(all, "; "))
	}
	id, stored := in.queue(ctx, DirectWebhook, "", asked)
	if stored.Status != http.StatusOK {
		return "", errors.New("nothing was asked for: it could not be stored, try again")
	}
	return id + " is asked for, and changes nothing yet: people must approve it. Its card in Slack's incident channel says who, and what became of it.", nil
}

// queue sends what is asked for to the bot, and returns its ID.
func (in *Ingress) queue(ctx context.Context, webhook, name string, asked Asked) (id string, stored Response) {
	body, err := compact(asked)
	if err != nil {
		return "", text(http.StatusBadRequest, "unreadable\n")
	}
	w := Webhook{Webhook: webhook, Path: requestsPath, Key: name, Timestamp: strconv.FormatInt(in.Now().Unix(), 10), Body: string(body)}
	secrets, err := in.Secrets(ctx)
	if err != nil || len(secrets) == 0 {
		in.Log.ErrorContext(ctx, "no signing secret", slog.Any("error", err))
		return "", text(http.StatusServiceUnavailable, "try again\n")
	}
	w.sign(secrets[0])
	return w.RequestID(), in.bring(ctx, w)
}

// sign says that a message came with its webhook's key. Nobody behind ingress can check that, and who can
// write a queue or a table must not be able to make one up. It is approvals.SignWebhook.
func (w *Webhook) sign(secret string) {
	w.Signature = signature(secret, "killswitch webhook v1\n"+strings.Join([]string{w.Timestamp, w.Webhook, w.Key, w.Body}, "\n"))
}

func inJSON(status int, v any) Response {
	b, err := compact(v)
	if err != nil {
		return text(http.StatusInternalServerError, "no answer\n")
	}
	return Response{Status: status, Type: jsonType, Body: string(b) + "\n"}
}

const notGranted = "is not one that this webhook may ask for"

// read brings a body into the one form, and says all that is wrong with it: its shape, and what the
// webhook may not ask for. Whether there is such an account or role, others know.
func (g Grant) read(path string, body []byte) (Asked, []Problem) {
	f, wrong := openFields(body)
	if wrong != "" {
		return Asked{}, []Problem{{"body", wrong, "send one JSON object in UTF-8"}}
	}
	var a Asked
	switch {
	case path == isolatePath:
		a = f.isolation()
	case f.ofAWSKillSwitch():
		a = f.awskillswitch(g)
	default:
		a = f.request()
	}
	if a.Action != "" && !slices.Contains(g.Actions, a.Action) {
		f.add("action", notGranted, "it may ask for "+strings.Join(g.Actions, ", "))
	}
	return a, f.wrong
}

// fields are the fields of a body that were not read yet.
type fields struct {
	left  map[string]json.RawMessage
	known []string
	wrong []Problem
}

// openFields opens an object by its exact names, or says why it is none.
func openFields(body []byte) (*fields, string) {
	switch {
	case !utf8.Valid(body):
		return nil, "is not UTF-8"
	case !json.Valid(body):
		return nil, "is not JSON"
	case !object(body):
		return nil, "is not a JSON object"
	}
	f := &fields{left: map[string]json.RawMessage{}}
	d := json.NewDecoder(bytes.NewReader(body))
	_, _ = d.Token() // valid JSON has no errors from here on
	for d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		_ = d.Decode(&value)
		key := fmt.Sprint(name)
		if _, twice := f.left[key]; twice {
			f.add(key, "is there twice", "")
		}
		f.left[key] = value
	}
	return f, ""
}

func (f *fields) add(field, problem, hint string) {
	f.wrong = append(f.wrong, Problem{field, problem, hint})
}

// text reads a field that must be there. It adds a problem if the value has another form than is,
// which may be nil.
func (f *fields) text(name string, is func(string) bool, hint string) string {
	if s, there := f.optional(name, is, hint); there {
		return s
	}
	f.add(name, "is missing", hint)
	return ""
}

func (f *fields) optional(name string, is func(string) bool, hint string) (s string, there bool) {
	value, there := f.left[name]
	delete(f.left, name)
	f.known = append(f.known, name)
	if !there || string(value) == "null" {
		return "", false
	}
	switch err := json.Unmarshal(value, &s); {
	case err != nil:
		f.add(name, "is not a text", "put it in quotes")
	case strings.TrimSpace(s) == "":
		f.add(name, "is empty", hint)
	case utf8.RuneCountInString(s) > maxText:
		f.add(name, "has over 2,000 characters", hint)
	case is != nil && !is(s):
		f.add(name, "is not "+hint, "")
	}
	return s, true
}

// done adds a problem for each field that nobody has read.
func (f *fields) done() {
	for _, name := range slices.Sorted(maps.Keys(f.left)) {
		if utf8.RuneCountInString(name) > 60 {
			name = string([]rune(name)[:60]) + "…"
		}
		f.add(name, "is not a field of this body", "it takes "+strings.Join(f.known, ", "))
	}
}

func (f *fields) reason(instead string) string {
	if s, there := f.optional("reason", nil, "say why, for the approver and the record"); there {
		return s
	}
	return instead
}

// actionName writes an action's name as the configuration does.
func actionName(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

// request reads the body in Killswitch's own words.
func (f *fields) request() Asked {
	a := Asked{
		Action: actionName(f.text("action", nil, "like isolate_instance")),
		Target: f.text("target", nil, "an ARN, ACCOUNT/NAME, an account, i-… or AKIA…"),
		Reason: f.text("reason", nil, "say why, for the approver and the record"),
	}
	value, there := f.left["options"]
	delete(f.left, "options")
	f.known = append(f.known, "options")
	switch {
	case !there || string(value) == "null":
	case !object(value):
		f.add("options", "is not an object", `like {"account": "222222222222", "region": "eu-west-1"}`)
	default:
		o, _ := openFields(value)
		if len(o.left) > maxOptions {
			f.add("options", "has over 20 entries", "")
			break
		}
		for _, name := range slices.Sorted(maps.Keys(o.left)) {
			if s := o.text(name, nil, "every option is a text"); s != "" {
				if a.Options == nil {
					a.Options = map[string]string{}
				}
				a.Options[name] = s
			}
		}
		for _, p := range o.wrong {
			f.add("options."+p.Field, p.Problem, p.Hint)
		}
	}
	f.done()
	return a
}

// isolation reads the body of the EC2 isolation webhook.
func (f *fields) isolation() Asked {
	a := Asked{
		Action: "isolate_instance",
		Target: f.text("instance_id", isInstance, "an instance's ID, like i-0123456789abcdef0"),
		Options: map[string]string{
			"account": f.text("account_id", isAccount, "the 12 digits of an account's ID, in quotes"),
			"region":  f.text("region", isRegion, "a region, like eu-west-1"),
		},
		Reason: f.reason("no reason given"),
	}
	f.done()
	return a
}

const targetAccount = "target_account_id"

// ofAWSKillSwitch reports whether a body is awskillswitch's payload.
func (f *fields) ofAWSKillSwitch() bool {
	for _, name := range []string{targetAccount, "target_role_name", "role_to_assume", "org_management_account"} {
		if _, there := f.left[name]; there {
			return true
		}
	}
	return false
}

// awskillswitch reads the payload of awskillswitch. Its region is where its function is: no target.
// https://github.com/secengjeff/awskillswitch
func (f *fields) awskillswitch(g Grant) Asked {
	a := Asked{
		Action: actionName(f.text("action", nil, "apply_scp, detach_policies, revoke_sessions or delete_role")),
		Target: f.text(targetAccount, isAccount, "the 12 digits of an account's ID, in quotes"),
		Reason: f.reason("no reason given"),
	}
	role, named := f.optional("target_role_name", isRole, "a role's name, or ALL")
	confirm, confirmed := f.optional("confirm", nil, "the role's name once more")
	_, _ = f.optional("region", nil, "")
	f.equals("role_to_assume", g.RoleToAssume, "leave it out: Killswitch enters accounts by the role of its configuration (aws.responder_role), and by no other")
	f.equals("org_management_account", g.ManagementAccount, "leave it out: Killswitch knows the management account by its configuration (aws.management_account)")
	switch a.Action {
	case "apply_scp":
		if named {
			f.add("target_role_name", "has no meaning here", "apply_scp is about the whole account: leave it out")
		}
	case "detach_policies", "revoke_sessions", "delete_role":
		if !named {
			f.add("target_role_name", "is missing", "a role's name, or ALL for revoke_sessions")
		}
		a.Target += "/" + role
	case "":
	default:
		f.add("action", "is none of this payload's", "it has apply_scp, detach_policies, revoke_sessions and delete_role; for others send action, target, options and reason")
	}
	switch {
	case a.Action == "delete_role" && !confirmed:
		f.add("confirm", "is missing", "a deletion can't be undone: add the role's name once more, or ask for detach_policies")
	case confirmed && a.Action == "delete_role":
		a.Options = map[string]string{"confirm": confirm}
	case confirmed:
		f.add("confirm", "has no meaning here", "only delete_role takes it: leave it out")
	}
	f.done()
	return a
}

// equals adds a problem if a field is there and is not what the configuration says.
func (f *fields) equals(name, configured, hint string) {
	if s, there := f.optional(name, nil, hint); there && s != "" && s != configured {
		f.add(name, "is not what the configuration says", hint)
	}
}

func isAccount(s string) bool { return len(s) == 12 && only(s, "0123456789") }

func isInstance(s string) bool {
	hex, ok := strings.CutPrefix(s, "i-")
	return ok && (len(hex) == 8 || len(hex) == 17) && only(hex, "0123456789abcdef")
}

const letters = "abcdefghijklmnopqrstuvwxyz"

func isRegion(s string) bool { return len(s) <= 30 && only(s, letters+"0123456789-") }

// isRole is IAM's form of a name.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
func isRole(s string) bool {
	return len(s) <= 64 && only(strings.ToLower(s), letters+"0123456789_+=,.@-")
}

func only(s, chars string) bool { return strings.Trim(s, chars) == "" }

// visible reports whether a text has visible ASCII characters only.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < 0x21 || c > 0x7e })
}
