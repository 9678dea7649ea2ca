// Builds the Jaeger program from its Go module. `go install …@version` is refused because Jaeger's go.mod holds a
// `replace`, which Go honours in the main module only: so this one-file module repeats it. v1.76.0 is the last
// release whose tag the module path allows (v2 tags lack the /v2 suffix); its cmd/jaeger is Jaeger v2.13.
module callfare.example/jaeger

go 1.25.4

require github.com/jaegertracing/jaeger v1.76.0

replace github.com/Shopify/sarama => github.com/Shopify/sarama v1.33.0
