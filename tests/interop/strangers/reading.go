package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// tiles reads a log's tiles over HTTP for tlog, whose own paths carry the height that tlog-tiles leaves out.
type tiles struct{ url, token string }

func (t tiles) Height() int { return tileHeight }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, 0, len(wanted))
	for _, tile := range wanted {
		path := "tile/" + strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
		data, err := t.get(path)
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (t tiles) get(path string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, t.url+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+t.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // what was read was read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}

// readWithTlog proves a leaf, and an older tree, with golang.org/x/mod/sumdb/tlog from the tiles alone, and checks both proofs.
func readWithTlog(asked question) (answer, error) {
	tree := tlog.Tree{N: int64(asked.Size), Hash: tlog.Hash(asked.Root)}
	reader := tlog.TileHashReader(tree, tiles{asked.URL, asked.Token})
	index, old := int64(asked.Index), int64(asked.Old)
	leaves, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return answer{}, err
	}
	record, err := tlog.ProveRecord(tree.N, index, reader)
	if err != nil {
		return answer{}, err
	}
	if err := tlog.CheckRecord(record, tree.N, tree.Hash, index, leaves[0]); err != nil {
		return answer{}, err
	}
	before, err := tlog.TreeHash(old, reader)
	if err != nil {
		return answer{}, err
	}
	grown, err := tlog.ProveTree(tree.N, old, reader)
	if err != nil {
		return answer{}, err
	}
	if err := tlog.CheckTree(grown, tree.N, tree.Hash, old, before); err != nil {
		return answer{}, err
	}
	said := answer{Leaf: leaves[0][:], Root: before[:]}
	for _, hash := range record {
		said.Path = append(said.Path, hash[:])
	}
	return said, nil
}

// readWithTessera reads checkpoint, entry and tiles with Tessera's client, and checks the proof it builds from them.
func readWithTessera(asked question) (answer, error) {
	root, err := url.Parse(asked.URL)
	if err != nil {
		return answer{}, err
	}
	fetcher, err := client.NewHTTPFetcher(root, nil)
	if err != nil {
		return answer{}, err
	}
	fetcher.SetAuthorizationHeader("Bearer " + asked.Token)
	verifier, err := f_note.NewVerifier(asked.Keys[0])
	if err != nil {
		return answer{}, err
	}
	ctx := context.Background()
	checkpoint, _, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, verifier, asked.Origin)
	if err != nil {
		return answer{}, err
	}
	bundle, err := client.GetEntryBundle(ctx, fetcher.ReadEntryBundle, asked.Index/tileWidth, checkpoint.Size)
	if err != nil {
		return answer{}, err
	}
	if uint64(len(bundle.Entries)) <= asked.Index%tileWidth {
		return answer{}, errors.New("the entry bundle is too short")
	}
	entry := bundle.Entries[asked.Index%tileWidth]
	builder, err := client.NewProofBuilder(ctx, checkpoint.Size, fetcher.ReadTile)
	if err != nil {
		return answer{}, err
	}
	path, err := builder.InclusionProof(ctx, asked.Index)
	if err != nil {
		return answer{}, err
	}
	hashed, err := hashLeaf(question{Entry: entry})
	if err != nil {
		return answer{}, err
	}
	said, err := verifyInclusion(question{
		Index: asked.Index, Size: checkpoint.Size, Leaf: hashed.Leaf, Path: path, Root: checkpoint.Hash,
	})
	said.Entry, said.Leaf, said.Path = entry, hashed.Leaf, path
	return said, err
}
