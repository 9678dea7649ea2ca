// Any Java application that asks a model through OpenAI's SDK, and nothing of callfare. See docs/how-to/java.md.

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.models.chat.completions.ChatCompletionCreateParams;

public class Chat {
    public static void main(String[] arguments) {
        OpenAIClient client = OpenAIOkHttpClient.fromEnv();
        ChatCompletionCreateParams question =
                ChatCompletionCreateParams.builder().model("gpt-4o-mini").addUserMessage("Where is my order?").build();
        System.out.println(client.chat().completions().create(question).choices().get(0).message().content().orElseThrow());
        client.close();
    }
}
