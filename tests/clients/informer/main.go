// A client-go informer with its default options: protobuf, and lists by watch. It prints one line an event, and the
// number of objects once it has synced, so that a test can compare them with what was written.
package main

import (
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client := kubernetes.NewForConfigOrDie(config)
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(os.Args[2]))
	informer := factory.Core().V1().ConfigMaps().Informer()
	line := func(kind string, object interface{}) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		it := object.(*corev1.ConfigMap)
		fmt.Printf("%s %s %s\n", kind, it.Name, it.ResourceVersion)
	}
	handle := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object interface{}) { line("ADDED", object) },
		UpdateFunc: func(_, object interface{}) { line("MODIFIED", object) },
		DeleteFunc: func(object interface{}) { line("DELETED", object) },
	}
	if _, err := informer.AddEventHandler(handle); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	stop := make(chan struct{})
	factory.Start(stop)
	if !cache.WaitForCacheSync(stop, informer.HasSynced) {
		os.Exit(1)
	}
	fmt.Printf("SYNCED %d\n", len(informer.GetStore().List()))
	// The test ends this program; the limit is for when it cannot.
	time.Sleep(5 * time.Minute)
}
