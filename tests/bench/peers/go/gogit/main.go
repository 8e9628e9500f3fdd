// Command gogit checks out one commit or branch as Argo and Flux do: go-git, one branch, depth 1.
package main

import (
	"fmt"
	"os"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
)

func checkout(url, revision, directory string) error {
	repository, err := git.PlainInit(directory, false)
	if err != nil {
		return err
	}
	remote, err := repository.CreateRemote(&config.RemoteConfig{Name: "origin", URLs: []string{url}})
	if err != nil {
		return err
	}
	target := plumbing.NewRemoteReferenceName("origin", "wanted")
	source := revision
	if !plumbing.IsHash(revision) {
		source = "refs/heads/" + revision
	}
	err = remote.Fetch(&git.FetchOptions{
		RefSpecs: []config.RefSpec{config.RefSpec("+" + source + ":" + target.String())},
		Depth:    1,
		Tags:     git.NoTags,
	})
	if err != nil {
		return err
	}
	reference, err := repository.Reference(target, true)
	if err != nil {
		return err
	}
	worktree, err := repository.Worktree()
	if err != nil {
		return err
	}
	return worktree.Checkout(&git.CheckoutOptions{Hash: reference.Hash(), Force: true})
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: gogit URL COMMIT|BRANCH DIRECTORY")
		os.Exit(2)
	}
	if err := checkout(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "gogit:", err)
		os.Exit(1)
	}
}
