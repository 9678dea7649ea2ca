// Any Go application that asks a model through OpenAI's SDK, with a span of its own for each call. See docs/how-to/go.md.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/openai/openai-go/v3"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// chat asks the model, and records on a span what the answer says that it used.
func chat(ctx context.Context, client openai.Client, asked openai.ChatCompletionNewParams) (*openai.ChatCompletion, error) {
	ctx, span := otel.Tracer("support-bot").Start(ctx, "chat "+asked.Model, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	span.SetAttributes(
		attribute.String("gen_ai.operation.name", "chat"),
		attribute.String("gen_ai.provider.name", "openai"),
		attribute.String("gen_ai.request.model", asked.Model),
	)
	answer, err := client.Chat.Completions.New(ctx, asked)
	if err != nil {
		span.SetAttributes(attribute.String("error.type", fmt.Sprintf("%T", err)))
		span.SetStatus(codes.Error, err.Error())
		return nil, err
	}
	span.SetAttributes(
		attribute.String("gen_ai.response.id", answer.ID),
		attribute.String("gen_ai.response.model", answer.Model),
		attribute.Int64("gen_ai.usage.input_tokens", answer.Usage.PromptTokens),
		attribute.Int64("gen_ai.usage.cache_read.input_tokens", answer.Usage.PromptTokensDetails.CachedTokens),
		attribute.Int64("gen_ai.usage.output_tokens", answer.Usage.CompletionTokens),
		attribute.Int64("gen_ai.usage.reasoning.output_tokens", answer.Usage.CompletionTokensDetails.ReasoningTokens),
	)
	return answer, nil
}

func main() {
	ctx := context.Background()
	exporter, err := otlptracehttp.New(ctx) // reads OTEL_*
	if err != nil {
		log.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	otel.SetTracerProvider(provider)

	answer, err := chat(ctx, openai.NewClient(), openai.ChatCompletionNewParams{
		Model:    "gpt-4o-mini",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Where is my order?")},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Choices[0].Message.Content)

	if err := provider.Shutdown(ctx); err != nil { // sends what is still waiting
		log.Fatal(err)
	}
}
