// strangers asks other people's verifiers about what Cloister's audit service answers.
//
// It reads one JSON question a line and writes one JSON answer a line: {"accepted": true, ...} or {"accepted": false,
// "error": "..."}. No line of it checks anything itself: every verdict is that of golang.org/x/mod/sumdb, of
// transparency-dev's merkle and formats, or of Tessera's client.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// question is what every question may carry; which fields one needs, its own function says. Byte slices are base64.
type question struct {
	Ask    string   `json:"ask"`
	Origin string   `json:"origin"`
	Keys   []string `json:"keys"`
	Note   []byte   `json:"note"`
	Entry  []byte   `json:"entry"`
	Leaf   []byte   `json:"leaf"`
	Index  uint64   `json:"index"`
	Size   uint64   `json:"size"`
	Old    uint64   `json:"old"`
	Path   [][]byte `json:"path"`
	Root   []byte   `json:"root"`
	Before []byte   `json:"before"`
	URL    string   `json:"url"`
	Token  string   `json:"token"`
}

// answer holds what a verifier said, with what it found.
type answer struct {
	Accepted bool     `json:"accepted"`
	Error    string   `json:"error,omitempty"`
	Size     uint64   `json:"size"`
	Root     []byte   `json:"root,omitempty"`
	Leaf     []byte   `json:"leaf,omitempty"`
	Entry    []byte   `json:"entry,omitempty"`
	Path     [][]byte `json:"path,omitempty"`
	Signed   []string `json:"signed,omitempty"`
}

var asks = map[string]func(question) (answer, error){
	"note":        openNote,
	"checkpoint":  openCheckpoint,
	"proof":       openProof,
	"leaf":        hashLeaf,
	"inclusion":   verifyInclusion,
	"consistency": verifyConsistency,
	"tlog":        readWithTlog,
	"tessera":     readWithTessera,
}

func answerTo(line []byte) answer {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{Error: fmt.Sprintf("not a question: %v", err)}
	}
	ask, known := asks[asked.Ask]
	if !known {
		return answer{Error: fmt.Sprintf("nobody here answers %q", asked.Ask)}
	}
	said, err := ask(asked)
	if err != nil {
		return answer{Error: err.Error()}
	}
	said.Accepted = true
	return said
}

func main() {
	questions := bufio.NewScanner(os.Stdin)
	questions.Buffer(nil, 1<<24)
	answers := json.NewEncoder(os.Stdout)
	for questions.Scan() {
		if err := answers.Encode(answerTo(questions.Bytes())); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := questions.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
