// Command buckets serves the files of a directory from memory the way Google Cloud Storage and
// Azure Blob Storage serve objects: as much of both protocols as it takes to list and to read.
//
// The emulators of the two look at every object for each request (fake-gcs-server) or run on one
// thread (Azurite): with thousands of objects a client would wait for them alone. Credentials are
// not checked.
package main

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

type object struct {
	Name    string
	Content []byte
	MD5     []byte
	CRC     string
}

func (o *object) etag() string { return hex.EncodeToString(o.MD5) }

var (
	objects  []*object
	byName   = map[string]*object{}
	modified = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

const stamp = "2026-01-02T03:04:05Z"

func load(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		sum := md5.Sum(content)
		crc := crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli))
		raw := []byte{byte(crc >> 24), byte(crc >> 16), byte(crc >> 8), byte(crc)}
		each := &object{name, content, sum[:], base64.StdEncoding.EncodeToString(raw)}
		objects = append(objects, each)
		byName[name] = each
		return nil
	})
}

// page is one answer to a listing: objects, directories, and where the next page begins.
func page(prefix, delimiter, after string, most int) (found []*object, below []string, next string) {
	start := sort.Search(len(objects), func(i int) bool {
		return objects[i].Name >= prefix && objects[i].Name > after
	})
	last := ""
	for _, each := range objects[start:] {
		if !strings.HasPrefix(each.Name, prefix) {
			break
		}
		if len(found)+len(below) == most {
			return found, below, last
		}
		if delimiter != "" {
			if head, _, deeper := strings.Cut(each.Name[len(prefix):], delimiter); deeper {
				directory := prefix + head + delimiter
				if len(below) == 0 || below[len(below)-1] != directory {
					below = append(below, directory)
				}
				last = each.Name
				continue
			}
		}
		found = append(found, each)
		last = each.Name
	}
	return found, below, ""
}

func number(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n < otherwise {
		return n
	}
	return otherwise
}

func send(w http.ResponseWriter, r *http.Request, name string, headers map[string]string) {
	each := byName[name]
	if each == nil {
		http.Error(w, "<Error><Code>NoSuchKey</Code></Error>", http.StatusNotFound)
		return
	}
	wanted := strings.Trim(r.Header.Get("If-Match"), `"`)
	r.Header.Del("If-Match")
	if wanted != "" && wanted != each.etag() {
		http.Error(w, "changed", http.StatusPreconditionFailed)
		return
	}
	if part := r.Header.Get("X-Ms-Range"); part != "" {
		r.Header.Set("Range", part)
	}
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	w.Header().Set("ETag", `"`+each.etag()+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("x-goog-generation", "1")
	w.Header().Set("x-goog-hash", "crc32c="+each.CRC+",md5="+base64.StdEncoding.EncodeToString(each.MD5))
	http.ServeContent(w, r, "", modified, bytes.NewReader(each.Content))
}

func asJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func asXML(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write([]byte(xml.Header))
	_ = xml.NewEncoder(w).Encode(value)
}

// --- Google ---------------------------------------------------------------------------------

func described(r *http.Request, bucket string, each *object) map[string]any {
	link := fmt.Sprintf("http://%s/download/storage/v1/b/%s/o/%s?alt=media", r.Host, bucket, url.PathEscape(each.Name))
	return map[string]any{
		"kind": "storage#object", "id": bucket + "/" + each.Name, "name": each.Name, "bucket": bucket,
		"size": strconv.Itoa(len(each.Content)), "md5Hash": base64.StdEncoding.EncodeToString(each.MD5),
		"crc32c": each.CRC, "etag": each.etag(), "generation": "1", "metageneration": "1",
		"contentType": "application/octet-stream", "storageClass": "STANDARD",
		"timeCreated": stamp, "updated": stamp, "mediaLink": link,
	}
}

func googleJSON(w http.ResponseWriter, r *http.Request, path string) {
	bucket, rest, _ := strings.Cut(path, "/")
	escaped, isObject := strings.CutPrefix(rest, "o/")
	name, _ := url.PathUnescape(escaped)
	query := r.URL.Query()
	switch {
	case isObject && query.Get("alt") == "media":
		send(w, r, name, nil)
	case isObject && byName[name] == nil:
		w.WriteHeader(http.StatusNotFound)
		asJSON(w, map[string]any{"error": map[string]any{"code": 404, "message": "Not Found"}})
	case isObject:
		asJSON(w, described(r, bucket, byName[name]))
	case rest == "o":
		most := number(query.Get("maxResults"), 1000)
		found, below, next := page(query.Get("prefix"), query.Get("delimiter"), query.Get("pageToken"), most)
		items := make([]map[string]any, 0, len(found))
		for _, each := range found {
			items = append(items, described(r, bucket, each))
		}
		answer := map[string]any{"kind": "storage#objects", "items": items}
		if len(below) > 0 {
			answer["prefixes"] = below
		}
		if next != "" {
			answer["nextPageToken"] = next
		}
		asJSON(w, answer)
	default:
		asJSON(w, map[string]any{"kind": "storage#bucket", "id": bucket, "name": bucket, "storageClass": "STANDARD"})
	}
}

type googleContents struct {
	Key, LastModified, ETag, StorageClass string
	Generation                            int
	Size                                  int
}

type googleList struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name, Prefix          string
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []googleContents
	CommonPrefixes        []struct{ Prefix string }
}

func googleXML(w http.ResponseWriter, r *http.Request, path string) {
	bucket, key, _ := strings.Cut(path, "/")
	if key != "" {
		send(w, r, key, nil)
		return
	}
	query := r.URL.Query()
	most := number(query.Get("max-keys"), 1000)
	found, below, next := page(query.Get("prefix"), query.Get("delimiter"), query.Get("continuation-token"), most)
	list := googleList{Name: bucket, Prefix: query.Get("prefix"), IsTruncated: next != "", NextContinuationToken: next}
	for _, each := range found {
		list.Contents = append(list.Contents, googleContents{
			Key: each.Name, LastModified: stamp, ETag: `"` + each.etag() + `"`,
			StorageClass: "STANDARD", Generation: 1, Size: len(each.Content),
		})
	}
	for _, directory := range below {
		list.CommonPrefixes = append(list.CommonPrefixes, struct{ Prefix string }{directory})
	}
	asXML(w, list)
}

// --- Azure ----------------------------------------------------------------------------------

type azureBlob struct {
	Name       string
	Properties struct {
		CreationTime  string `xml:"Creation-Time"`
		LastModified  string `xml:"Last-Modified"`
		Etag          string
		ContentLength int    `xml:"Content-Length"`
		ContentType   string `xml:"Content-Type"`
		ContentMD5    string `xml:"Content-MD5"`
		BlobType      string
		AccessTier    string
	}
}

type azureList struct {
	XMLName       xml.Name `xml:"EnumerationResults"`
	ContainerName string   `xml:",attr"`
	Prefix        string
	Blob          []azureBlob             `xml:"Blobs>Blob"`
	BlobPrefix    []struct{ Name string } `xml:"Blobs>BlobPrefix"`
	NextMarker    string
}

func azure(w http.ResponseWriter, r *http.Request, path string) {
	container, name, _ := strings.Cut(path, "/")
	w.Header().Set("x-ms-version", "2021-12-02")
	w.Header().Set("x-ms-request-id", "1")
	if name != "" {
		headers := map[string]string{"x-ms-blob-type": "BlockBlob", "x-ms-creation-time": modified.Format(http.TimeFormat)}
		send(w, r, name, headers)
		return
	}
	query := r.URL.Query()
	if query.Get("comp") != "list" {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Last-Modified", modified.Format(http.TimeFormat))
		return
	}
	most := number(query.Get("maxresults"), 5000)
	found, below, next := page(query.Get("prefix"), query.Get("delimiter"), query.Get("marker"), most)
	list := azureList{ContainerName: container, Prefix: query.Get("prefix"), NextMarker: next}
	for _, each := range found {
		blob := azureBlob{Name: each.Name}
		blob.Properties.CreationTime = modified.Format(http.TimeFormat)
		blob.Properties.LastModified = modified.Format(http.TimeFormat)
		blob.Properties.Etag = each.etag()
		blob.Properties.ContentLength = len(each.Content)
		blob.Properties.ContentType = "application/octet-stream"
		blob.Properties.ContentMD5 = base64.StdEncoding.EncodeToString(each.MD5)
		blob.Properties.BlobType = "BlockBlob"
		blob.Properties.AccessTier = "Hot"
		list.Blob = append(list.Blob, blob)
	}
	for _, directory := range below {
		list.BlobPrefix = append(list.BlobPrefix, struct{ Name string }{directory})
	}
	asXML(w, list)
}

func main() {
	root := flag.String("root", "", "the directory")
	listen := flag.String("listen", "127.0.0.1:0", "the address")
	account := flag.String("azure", "", "serve Azure's protocol for this account; otherwise Google's")
	flag.Parse()
	if err := load(*root); err != nil {
		fmt.Fprintln(os.Stderr, "buckets:", err)
		os.Exit(1)
	}
	sort.Slice(objects, func(i, j int) bool { return objects[i].Name < objects[j].Name })
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "buckets:", err)
		os.Exit(1)
	}
	err = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/")
		raw := strings.TrimPrefix(r.URL.EscapedPath(), "/")
		if *account != "" {
			azure(w, r, strings.TrimPrefix(path, *account+"/"))
			return
		}
		for _, prefix := range []string{"storage/v1/b/", "download/storage/v1/b/"} {
			if rest, is := strings.CutPrefix(raw, prefix); is {
				googleJSON(w, r, rest)
				return
			}
		}
		googleXML(w, r, path)
	}))
	fmt.Fprintln(os.Stderr, "buckets:", err)
	os.Exit(1)
}
