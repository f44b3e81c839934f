package ingress

// What ingress answers by itself: the same to everybody, since it knows no names. The bot's own view
// follows.

const jsonType = "application/json; charset=utf-8"

// FormCallback is the callback_id of the form. The answer to its submission must say at once what
// stands in its place, or Slack closes it.
// https://docs.slack.dev/surfaces/modals#updating_response
const FormCallback = "request"

const checking = `{"response_action":"update","view":{"type":"modal","title":{"type":"plain_text","text":"Contain"},` +
	`"close":{"type":"plain_text","text":"Close"},"blocks":[{"type":"section","block_id":"checking","text":{"type":"plain_text",` +
	`"text":"Checking… If nothing else stands here in a minute, look at the channel, or ask again: the same is never asked for twice."}}]}}`

// FormButton is the action_id of the button that opens the form.
const FormButton = "form"

// opening answers the command with nothing behind it: a trigger lives 3 s, and a bot that starts may
// take longer.
const opening = `{"response_type":"ephemeral","text":"The form opens. If it does not, click Open the form.",` +
	`"blocks":[{"type":"section","block_id":"opening","text":{"type":"plain_text","text":"The form opens. If it does not:"}},` +
	`{"type":"actions","block_id":"form","elements":[{"type":"button","action_id":"` + FormButton + `","text":{"type":"plain_text","text":"Open the form"}}]},` +
	`{"type":"context","block_id":"typed","elements":[{"type":"plain_text","text":"It can be typed, too: /killswitch help says how."}]}]}`

// What could not be stored is told to who typed it or sent the form: Slack shows nobody the text of a 503.
const (
	notStored    = "This could not be stored: nothing was started. Send it again in a minute. If that does not help, whoever runs Killswitch must look at its log."
	notTyped     = `{"response_type":"ephemeral","text":"` + notStored + `"}`
	notSubmitted = `{"response_action":"update","view":{"type":"modal","title":{"type":"plain_text","text":"Contain"},` +
		`"close":{"type":"plain_text","text":"Close"},"blocks":[{"type":"section","block_id":"not_stored","text":{"type":"plain_text","text":"` + notStored + `"}}]}}`
)
