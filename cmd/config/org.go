package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
)

// org reads where actions may reach and what they never touch.
func (c *checker) org(root *value) actions.Org {
	aws, protected := root.at("aws"), root.at("protected")
	o := actions.Org{
		Actions:           all.Actions,
		Partition:         c.partition(aws.at("regions")),
		HubAccount:        aws.at("hub_account").text(),
		ManagementAccount: aws.at("management_account").text(),
		PolicyAccount:     aws.at("policy_account").text(),
		ResponderRole:     aws.at("responder_role").text(),
		RestorerRole:      aws.at("restorer_role").text(),
		ForwarderRole:     aws.at("forwarder_role").text(),
		ExternalID:        aws.at("external_id").text(),
		Installation:      actions.Installation(aws.at("installation").text()),
		Regions:           aws.at("regions").texts(),
		AdminGroup:        root.at("policy", "admin_group").text(),
		Accounts:          map[string]string{},
		ProtectedAccounts: protected.at("accounts").texts(),
		IdentityAccounts:  append([]string{aws.at("hub_account").text()}, aws.at("identity_accounts").texts()...),
	}
	for _, account := range aws.at("identity_accounts").texts() {
		if !slices.Contains(o.ProtectedAccounts, account) { // who administers it could vote
			o.ProtectedAccounts = append(o.ProtectedAccounts, account)
		}
	}
	if o.PolicyAccount != "" && o.PolicyAccount == o.ManagementAccount {
		c.add(aws.at("policy_account"), "is the management account", "leave it out: policies are managed from the management account, unless that is delegated to another")
	}
	if o.ResponderRole != "" && strings.EqualFold(o.ResponderRole, o.RestorerRole) {
		c.add(aws.at("restorer_role"), "is the responder role", "whoever contains must not hold the rights that undo: make two roles")
	}
	for _, key := range []string{"responder_role", "restorer_role"} {
		if o.ForwarderRole != "" && strings.EqualFold(o.ForwarderRole, aws.at(key).text()) {
			c.add(aws.at("forwarder_role"), "is the "+strings.Replace(key, "_", " ", 1), "what forwards events needs no such rights: make a role of its own")
		}
	}
	ids := unique{}
	for alias, v := range aws.at("accounts").entries() {
		c.once(ids, v.text(), v, "has another alias already")
		o.Accounts[alias] = v.text()
	}
	c.protected(protected.at("principals"), &o)
	return o
}

// protected reads the protected principals: an ARN, or a role's with who may enter it.
func (c *checker) protected(principals *value, o *actions.Org) {
	arns := unique{}
	for _, v := range principals.items() {
		arn, trust := v, v.at("trust")
		if v.at("arn") != nil {
			arn = v.at("arn")
		}
		if arn.text() == "" {
			continue
		}
		if trust != nil {
			if o.ProtectedTrust == nil {
				o.ProtectedTrust = map[string][]string{}
			}
			o.ProtectedTrust[arn.text()] = trust.texts()
		}
		for _, who := range trust.items() {
			c.checkPartition(who, o.Partition)
		}
		c.checkPartition(arn, o.Partition)
		c.once(arns, arn.text(), arn, "is listed twice")
		o.ProtectedPrincipals = append(o.ProtectedPrincipals, arn.text())
	}
}

// partition is what the regions are in: all in the same.
func (c *checker) partition(regions *value) string {
	var partition string
	for _, v := range regions.items() {
		region := v.text()
		p := actions.PartitionOf(region)
		switch {
		case region == "":
			continue
		case strings.Contains(region, "-iso"):
			c.add(v, "is in a partition that Killswitch does not know", "")
			continue
		}
		if partition == "" {
			partition = p
		}
		if p != partition {
			c.add(v, fmt.Sprintf("is in the partition %s, the first region in %s", p, partition), "each partition needs an installation of its own")
		}
	}
	return partition
}

// checkPartition compares an ARN's partition with the installation's.
func (c *checker) checkPartition(arn *value, partition string) {
	parts := strings.SplitN(arn.text(), ":", 3)
	if len(parts) == 3 && partition != "" && parts[1] != partition {
		c.add(arn, fmt.Sprintf("is not in the partition %s, where the regions are", partition), "begin with arn:"+partition+":")
	}
}
