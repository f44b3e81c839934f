package actiontest_test

import (
	"testing"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/toy"
)

// The contract test of an action. toy.Open makes a new AWS with a target, and says how the
// target's state is read, tampered with and replaced.
func ExampleTest() {
	var t *testing.T // of TestToyContract
	actiontest.Test(t, actiontest.Contract{
		Action: toy.CloseQueue{},
		Starts: []actiontest.Start{{Name: "a queue", Open: toy.Open}},
	})
}
