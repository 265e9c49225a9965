package main

import (
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// hashLeaf gives an entry's leaf hash.
func hashLeaf(asked question) (answer, error) {
	return answer{Leaf: rfc6962.DefaultHasher.HashLeaf(asked.Entry)}, nil
}

// verifyInclusion checks that the leaf hash is at the index of the tree of that size and root.
func verifyInclusion(asked question) (answer, error) {
	err := proof.VerifyInclusion(rfc6962.DefaultHasher, asked.Index, asked.Size, asked.Leaf, asked.Path, asked.Root)
	return answer{Size: asked.Size, Root: asked.Root}, err
}

// verifyConsistency checks that the tree of `size` leaves and `root` begins with the one of `old` leaves and root `before`.
func verifyConsistency(asked question) (answer, error) {
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, asked.Old, asked.Size, asked.Path, asked.Before, asked.Root)
	return answer{Size: asked.Size}, err
}
