package actions

// ActivityPermits are the permissions of a look-up.
var ActivityPermits = lookupPermits
