// What client-go has for those who follow a cluster, with its default options. KUBECONFIG NAMESPACE [MODE]:
//
//	typed     an informer of ConfigMaps in protobuf, with lists by watch
//	dynamic   the same of unstructured objects
//	metadata  the same of objects' metadata alone
//	leader    a candidate of a leader election by a Lease
//
// An informer prints one line an event, and the number of objects once it has synced, so that a test can compare them with
// what was written; a candidate prints when it leads and when it does no more.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// The test ends this program; the limit is for when it cannot.
const limit = 5 * time.Minute

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	must(err)
	mode := "typed"
	if len(os.Args) > 3 {
		mode = os.Args[3]
	}
	ctx, end := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer end()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if mode == "leader" {
		lead(ctx, config, os.Args[2])
		return
	}
	follow(ctx, informer(config, os.Args[2], mode))
}

func informer(config *rest.Config, namespace, mode string) cache.SharedIndexInformer {
	maps := corev1.SchemeGroupVersion.WithResource("configmaps")
	switch mode {
	case "typed":
		config.ContentType = "application/vnd.kubernetes.protobuf"
		config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
		client := kubernetes.NewForConfigOrDie(config)
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
		return factory.Core().V1().ConfigMaps().Informer()
	case "dynamic":
		client := dynamic.NewForConfigOrDie(config)
		return dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, namespace, nil).ForResource(maps).Informer()
	case "metadata":
		client := metadata.NewForConfigOrDie(config)
		return metadatainformer.NewFilteredSharedInformerFactory(client, 0, namespace, nil).ForResource(maps).Informer()
	}
	must(fmt.Errorf("no mode %q", mode))
	return nil
}

func follow(ctx context.Context, informer cache.SharedIndexInformer) {
	line := func(kind string, object interface{}) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		it := object.(metav1.Object)
		fmt.Printf("%s %s %s\n", kind, it.GetName(), it.GetResourceVersion())
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object interface{}) { line("ADDED", object) },
		UpdateFunc: func(_, object interface{}) { line("MODIFIED", object) },
		DeleteFunc: func(object interface{}) { line("DELETED", object) },
	})
	must(err)
	go informer.Run(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		os.Exit(1)
	}
	fmt.Printf("SYNCED %d\n", len(informer.GetStore().List()))
	<-ctx.Done()
}

// A candidate that gives the lease back when it is told to end. Its times are those of Kubernetes' own components, which outlast
// a machine that stands still for some seconds, but that it asks more often.
func lead(ctx context.Context, config *rest.Config, namespace string) {
	identity := fmt.Sprintf("candidate-%d", os.Getpid())
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, namespace, "election", nil,
		kubernetes.NewForConfigOrDie(config).CoordinationV1(), resourcelock.ResourceLockConfig{Identity: identity})
	must(err)
	fmt.Printf("CANDIDATE %s\n", identity)
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock:            lock,
		ReleaseOnCancel: true,
		LeaseDuration:   15 * time.Second,
		RenewDeadline:   10 * time.Second,
		RetryPeriod:     500 * time.Millisecond,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { fmt.Printf("LEADING %s\n", identity) },
			OnStoppedLeading: func() { fmt.Printf("STOPPED %s\n", identity) },
			OnNewLeader:      func(leader string) { fmt.Printf("LEADER %s\n", leader) },
		},
	})
}
