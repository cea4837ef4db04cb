// Package quiet runs Tekton's reconcilers as knative's sharedmain does, without opening a port.
//
// sharedmain always serves profiling, and each stock command its probes, on all interfaces and on ports that two
// local clusters cannot share. Leader election is left out as well: one process runs one set of reconcilers.
package quiet

import (
	"context"
	"log"
	"os"

	"k8s.io/client-go/rest"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/injection/sharedmain"
	"knative.dev/pkg/logging"
)

// Run starts the controllers and blocks until ctx ends. Once their caches are filled it writes the file that READY_FILE
// names.
func Run(ctx context.Context, component string, config *rest.Config, ctors ...injection.ControllerConstructor) {
	ctx, startInformers := injection.EnableInjectionOrDie(ctx, config)
	logger, level := sharedmain.SetupLoggerOrDie(ctx, component)
	defer func() { _ = logger.Sync() }()
	ctx = logging.WithLogger(ctx, logger)
	rest.SetDefaultWarningHandler(&logging.WarningHandler{Logger: logger})

	settings := sharedmain.SetupConfigMapWatchOrDie(ctx, logger)
	controllers, _ := sharedmain.ControllersAndWebhooksFromCtors(ctx, settings, ctors...)
	sharedmain.WatchLoggingConfigOrDie(ctx, settings, logger, level, component)

	// The reconcilers read feature flags and defaults from these ConfigMaps, so they come first.
	if err := settings.Start(ctx.Done()); err != nil {
		log.Fatalf("watching the ConfigMaps of %s: %v", component, err)
	}
	startInformers()
	if file := os.Getenv("READY_FILE"); file != "" {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			log.Fatalf("telling that %s is ready: %v", component, err)
		}
	}
	if err := controller.StartAll(ctx, controllers...); err != nil {
		log.Fatalf("running %s: %v", component, err)
	}
}
