package actions

// All are the actions. A new one is one file and one line here.
var All = Catalog{
	applySCP{},
	revokeSessions{},
	detachPolicies{},
	deleteRole{},
	quarantineUser{},
	deactivateKey{},
	deleteKey{},
	isolateInstance{},
}
