package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
)

const algorithmMLDSA44 = 0x06

// openNote opens a note with golang.org/x/mod/sumdb/note, which knows Ed25519 keys only.
func openNote(asked question) (answer, error) {
	verifier, err := note.NewVerifier(asked.Keys[0])
	if err != nil {
		return answer{}, err
	}
	opened, err := note.Open(asked.Note, note.VerifierList(verifier))
	if err != nil {
		return answer{}, err
	}
	return answer{Signed: names(opened), Entry: []byte(opened.Text)}, nil
}

// openCheckpoint opens a checkpoint with transparency-dev's formats: the first key must have signed it as the log, and every
// further key, ML-DSA-44 too, that has signed it must verify.
func openCheckpoint(asked question) (answer, error) {
	verifiers := make([]note.Verifier, 0, len(asked.Keys))
	for _, key := range asked.Keys {
		verifier, err := newVerifier(key)
		if err != nil {
			return answer{}, fmt.Errorf("%s: %w", key[:min(len(key), 60)], err)
		}
		verifiers = append(verifiers, verifier)
	}
	checkpoint, _, opened, err := log.ParseCheckpoint(asked.Note, asked.Origin, verifiers[0], verifiers[1:]...)
	if err != nil {
		return answer{}, err
	}
	return answer{Size: checkpoint.Size, Root: checkpoint.Hash, Signed: names(opened)}, nil
}

func newVerifier(key string) (note.Verifier, error) {
	parts := strings.SplitN(key, "+", 3) // base64 has plusses of its own
	material, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(material, []byte{algorithmMLDSA44}) {
		return f_note.NewMLDSAVerifier(key)
	}
	return f_note.NewVerifier(key)
}

// openProof reads a .tlog-proof with transparency-dev's formats and checks it with their merkle.
func openProof(asked question) (answer, error) {
	var read proof.TLogProof
	if err := read.Unmarshal(asked.Note); err != nil {
		return answer{}, err
	}
	asked.Note = read.Checkpoint
	said, err := openCheckpoint(asked)
	if err != nil {
		return answer{}, err
	}
	asked.Index, asked.Size, asked.Root, asked.Path = read.Index, said.Size, said.Root, nil
	for _, hash := range read.Hashes {
		asked.Path = append(asked.Path, hash[:])
	}
	hashed, err := hashLeaf(asked)
	if err != nil {
		return answer{}, err
	}
	asked.Leaf = hashed.Leaf
	return verifyInclusion(asked)
}

func names(opened *note.Note) []string {
	found := make([]string, 0, len(opened.Sigs))
	for _, signature := range opened.Sigs {
		found = append(found, fmt.Sprintf("%s+%08x", signature.Name, signature.Hash))
	}
	return found
}
