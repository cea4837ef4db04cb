// Command controller runs Tekton's reconcilers of PipelineRun, TaskRun and ResolutionRequest.
package main

import (
	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	"github.com/tektoncd/pipeline/pkg/reconciler/pipelinerun"
	"github.com/tektoncd/pipeline/pkg/reconciler/resolutionrequest"
	"github.com/tektoncd/pipeline/pkg/reconciler/taskrun"
	"k8s.io/utils/clock"
	filteredinformerfactory "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/signals"

	"kubernaut.ai/devcluster/tekton/quiet"
)

// The images Tekton adds to each pod. KWOK plays the pods, so none of them is ever pulled; empty ones are refused.
const unpulled = "devcluster.invalid/tekton"

func main() {
	controller.DefaultThreadsPerController = 16
	config := injection.ParseAndGetRESTConfigOrDie()

	options := &pipeline.Options{
		Images: pipeline.Images{
			EntrypointImage:        unpulled,
			NopImage:               unpulled,
			SidecarLogResultsImage: unpulled,
			ShellImage:             unpulled,
			ShellImageWin:          unpulled,
			WorkingDirInitImage:    unpulled,
		},
		ResyncPeriod: controller.DefaultResyncPeriod,
	}
	ctx := filteredinformerfactory.WithSelectors(signals.NewContext(), v1beta1.ManagedByLabelKey)
	ctx = controller.WithResyncPeriod(ctx, options.ResyncPeriod)

	quiet.Run(ctx, "tekton-pipelines-controller", config,
		taskrun.NewController(options, clock.RealClock{}),
		pipelinerun.NewController(options, clock.RealClock{}),
		resolutionrequest.NewController(clock.RealClock{}))
}
