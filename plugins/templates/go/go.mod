module example.com/example-policy

go 1.24
