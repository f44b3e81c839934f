package role_test
