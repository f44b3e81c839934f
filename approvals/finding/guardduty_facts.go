package finding

import (
	"slices"
	"strings"
)

// look finds a single value under a finding's service: "action/actionType".
// Security Hub has the same paths, flattened.
type look func(path string) string

// facts are what single values tell.
func (v look) facts() []Fact {
	api, k8s := "action/awsApiCallAction/", "action/kubernetesApiCallAction/"
	net, dns := "action/networkConnectionAction/", "action/dnsRequestAction/"
	facts := []Fact{
		{"Source IP", v.remote(api, k8s, "action/rdsLoginAttemptAction/")},
		{"Remote IP", v.remote(net)},
		{"API call", join(" of ", v(api+"api"), v(api+"serviceName"))},
		{"Error", v(api + "errorCode")},
		{"User agent", v(api+"userAgent") + v(k8s+"userAgent")},
		{"Domain", join(", ", v(dns+"domain"), v(dns+"protocol"), blocked(v(dns+"blocked")))},
		{"Caller's domain", v(api + "domainDetails/domain")},
		{"Connection", join(", ", join(" ", strings.ToLower(v(net+"connectionDirection")), v(net+"protocol")),
			prefix("port here ", v.port(net+"localPortDetails/")), prefix("there ", v.port(net+"remotePortDetails/")), blocked(v(net+"blocked")))},
		{"Remote account", join(", ", v(api+"remoteAccountDetails/accountId"), affiliated(v(api+"remoteAccountDetails/affiliated")))},
		{"Threat list", v("additionalInfo/threatListName")},
		{"Unusual calls", v("additionalInfo/anomalies/anomalousAPIs")},
	}
	return slices.DeleteFunc(facts, func(f Fact) bool { return f.Text == "" })
}

// remote is an address and whose it is, of the first action that has one.
func (v look) remote(actions ...string) string {
	for _, action := range actions {
		p := action + "remoteIpDetails/"
		ip := join(", ", v(p+"ipAddressV4"), v(p+"ipAddressV6"))
		if ip == "" {
			continue
		}
		owner := v(p + "organization/org")
		if as := v(p + "organization/asnOrg"); !strings.EqualFold(strings.ReplaceAll(as, "-", " "), owner) {
			owner = join(", ", owner, as)
		}
		asn := v(p + "organization/asn")
		if asn == "-1" { // of samples
			asn = ""
		}
		return join(" ", ip, brackets(join("; ", join(" ", owner, prefix("AS", asn)), join(", ", v(p+"city/cityName"), v(p+"country/countryName")))))
	}
	return ""
}

func (v look) port(p string) string {
	number, name := v(p+"port"), v(p+"portName")
	if name == "Unknown" {
		name = ""
	}
	return join(" ", number, brackets(name))
}

func blocked(s string) string {
	switch s {
	case "true":
		return "blocked"
	case "false":
		return "not blocked"
	}
	return ""
}

func affiliated(s string) string {
	if s == "false" {
		return "not one of yours"
	}
	return ""
}

// facts are the evidence of a finding about one resource, most telling first.
func (f gdFinding) facts() []Fact {
	service := f.at("service")
	facts := look(func(path string) string {
		keys := strings.Split(path, "/")
		if keys[0] == "additionalInfo" {
			return f.info(keys[1:]...).textOrBool()
		}
		return service.at(keys...).textOrBool()
	}).facts()
	add := func(label, text string) { facts = append(facts, Fact{label, text}) }

	if !slices.ContainsFunc(facts, func(f Fact) bool { return f.Label == "User agent" }) {
		add("User agent", f.info("userAgent", "fullUserAgent").text())
	}
	add("Recent calls", some(each(f.info("recentApiCalls"), func(n node) string { return join(" ×", n.at("api").text(), n.at("count").text()) })))
	k8s := service.at("action", "kubernetesApiCallAction")
	add("Kubernetes call", join(" ", k8s.at("verb").text(), k8s.at("requestUri").text(), prefix("→ ", k8s.at("statusCode").text())))
	add("Probed ports", some(each(service.at("action", "portProbeAction", "portProbeDetails"), func(n node) string {
		return join(" from ", n.at("localPortDetails", "port").text(), n.at("remoteIpDetails", "ipAddressV4").text())
	})))
	add("Threats", some(slices.Concat(each(service.at("evidence", "threatIntelligenceDetails"), func(n node) string { return some(texts(n.at("threatNames"))) }),
		each(service.at("malwareScanDetails", "threats"), func(n node) string { return n.at("name").text() }),
		each(service.at("ebsVolumeScanDetails", "scanDetections", "threatDetectedByName", "threatNames"), func(n node) string { return n.at("name").text() }))))
	process := service.at("runtimeDetails", "process")
	add("Process", join(", ", process.at("executablePath").text(), prefix("user ", process.at("user").text()), prefix("SHA-256 ", process.at("executableSha256").text())))
	db := f.at("resource", "rdsDbUserDetails")
	add("Database", join(", ", prefix("database ", db.at("database").text()), prefix("application ", db.at("application").text())))
	for _, b := range f.at("resource", "s3BucketDetails").items() {
		add("Object", some(each(b.at("s3ObjectDetails"), func(n node) string {
			return join(", ", n.at("key").text(), prefix("version ", n.at("versionId").text()), prefix("hash ", n.at("hash").text()))
		})))
	}
	f.containerFacts(add)
	add("Execution role", afterSlash(f.at("resource", "lambdaDetails", "role").text()))
	add("Affected", some(affected(service.at("action", "awsApiCallAction", "affectedResources"))))
	add("Instance profile", afterSlash(f.at("resource", "instanceDetails", "iamInstanceProfile", "arn").text()))
	return facts
}

// containerFacts are where a container runs: what there is depends on who runs it.
// https://docs.aws.amazon.com/guardduty/latest/APIReference/API_KubernetesWorkloadDetails.html
// https://docs.aws.amazon.com/guardduty/latest/APIReference/API_EcsTaskDetails.html
func (f gdFinding) containerFacts(add func(label, text string)) {
	at := f.at("resource")
	workload, task := at.at("kubernetesDetails", "kubernetesWorkloadDetails"), at.at("ecsClusterDetails", "taskDetails")
	add("Workload", join(", ", join(" ", workload.at("type").text(), join("/", workload.at("namespace").text(), workload.at("name").text())),
		prefix("service account ", workload.at("serviceAccountName").text())))
	add("Task", join(", ", task.at("arn").text(), prefix("group ", task.at("group").text()), task.at("launchType").text()))
	container := func(n node) string {
		return join(" ", n.at("name").text(), brackets(prefix("image ", n.at("image").text())))
	}
	add("Container", some(slices.Compact(slices.Concat([]string{container(at.at("containerDetails"))}, each(workload.at("containers"), container), each(task.at("containers"), container)))))
}

// affected are resources by their types.
func affected(n node) []string {
	var all []string
	for _, kind := range slices.Sorted(slices.Values(n.keys())) {
		resource := n.at(kind)
		resource.path = n.path // the key is from outside
		all = append(all, kind+" "+resource.text())
	}
	return all
}

// each makes texts of a list's elements.
func each(list node, text func(node) string) []string {
	var all []string
	for _, n := range list.items() {
		all = append(all, text(n))
	}
	return all
}

func texts(list node) []string { return each(list, node.text) }

// afterSlash is what follows the first slash of an ARN: name and path.
func afterSlash(arn string) string {
	_, rest, _ := strings.Cut(arn, "/")
	return rest
}
