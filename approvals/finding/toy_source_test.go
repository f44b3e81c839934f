package finding

// LeakScanner is the name of this source in routes.
const LeakScanner Source = "leakscanner"

// Toy is a source as somebody would add it: this file, one line in the list, one event.
var Toy = EventSource{
	Name:    LeakScanner,
	Product: "Leak Scanner",
	Takes: func(source, detailType string) bool {
		return source == "example.leakscanner" && detailType == "Leak Found"
	},
	Read: readLeakScanner,
}

func readLeakScanner(r Reader, e Envelope) ([]Finding, error) {
	key, user := e.detail.at("accessKey").required().text(), e.detail.at("userName").text()
	f := Finding{
		Type: "Leak", Title: capital(keyOf(key, user)) + " was found in a paste", Severity: exposedSeverity,
		Account: e.account, Region: e.region,
		Facts: []Fact{{"Found at", e.detail.at("url").text()}},
	}
	return []Finding{r.exposed(f, key, user)}, nil
}
