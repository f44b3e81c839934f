// Package e2e runs the whole program against a Slack and an AWS that others
// wrote: local-slack and moto; and stores against a DynamoDB of others. Run it with
// e2e/run, which builds everything and puts the tests where nothing but the loopback
// can be reached; e2e/run -test.run=TestPath runs one of them.
//
//	path_test.go          from the command to the containment and back, in serve
//	containment_test.go   every action, before and after read through the SDK
//	alerts_*_test.go      events to cards, digests and containments
//	rehearsal_test.go     the three functions as Lambda runs them
//	rules_test.go         the template's EventBridge rules, on every sample event
//	dynamodb_test.go      the contract of stores
//
// The tests have the build tag e2e. Below are demo (the demo in a browser), template
// (what is checked of template.yaml), schema (Slack's block types as a JSON schema)
// and boot (how fast the functions start).
package e2e
