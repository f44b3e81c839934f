package trail

import (
	"cmp"
	"slices"
	"time"
)

// Activity summarises the recent calls of a principal or key in CloudTrail's Event
// history. It is stored as JSON and stays below 50 KB: its strings are cut.
type Activity struct {
	Subject string    `json:"subject"` // whose: AKIA…
	By      string    `json:"by"`      // what it was looked up by: AccessKeyId, Username, ResourceName
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Total   int       `json:"total"`           // calls that were read
	Cut     string    `json:"cut,omitempty"`   // why not all calls were read
	First   time.Time `json:"first,omitzero"`  // of the calls that were read
	Last    time.Time `json:"last,omitzero"`   // likewise
	Denied  int       `json:"denied"`          // calls that AWS denied
	Broken  int       `json:"broken,omitzero"` // calls whose details could not be read in full

	Regions   []RegionActivity `json:"regions"`
	Calls     Top              `json:"calls"`          // event names
	Resources Top              `json:"resources"`      // names
	Types     Top              `json:"resource_types"` // AWS::S3::Bucket
	Addresses Top              `json:"source_ips"`
	Agents    Top              `json:"user_agents"`
	Roles     Top              `json:"roles"` // that were assumed: ARNs
}

// RegionActivity is one region's part of an Activity.
type RegionActivity struct {
	Name  string `json:"name"`
	Total int    `json:"total"`
	Cut   bool   `json:"cut,omitempty"`   // not all of its calls were read
	Error string `json:"error,omitempty"` // why the region could not be read, or not to its end
}

// Top are the most frequent of some values, and how many different ones there were.
type Top struct {
	Most  []Count `json:"most,omitempty"`
	Kinds int     `json:"kinds,omitzero"`
}

// Count is in how many calls a value was.
type Count struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

// topSize is the number of values in a Top.
const topSize = 10

// top is the Top of counted values: the most frequent first, ties by name.
func top(counts map[string]int) Top {
	t := Top{Kinds: len(counts)}
	for name, n := range counts {
		t.Most = append(t.Most, Count{name, n})
	}
	slices.SortFunc(t.Most, func(x, y Count) int {
		return cmp.Or(cmp.Compare(y.N, x.N), cmp.Compare(x.Name, y.Name))
	})
	t.Most = slices.Clip(t.Most[:min(len(t.Most), topSize)])
	return t
}

// Unread reports whether no region could be read.
func (a Activity) Unread() bool {
	return !slices.ContainsFunc(a.Regions, func(r RegionActivity) bool { return r.Error == "" || r.Total > 0 })
}
