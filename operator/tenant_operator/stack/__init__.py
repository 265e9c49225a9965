"""What a tenant is made of: one pure module a part, each answering the five questions of `stack.part.Part`."""
