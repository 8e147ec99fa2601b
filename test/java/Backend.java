// A backend with the Pusher library for Java, for tests. It takes the arguments of test/python/pusher_backend.py, makes the same calls
// and prints the same lines.
import com.pusher.rest.Pusher;
import com.pusher.rest.data.Event;
import com.pusher.rest.data.PresenceUser;
import com.pusher.rest.data.Result;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.json.JSONArray;
import org.json.JSONObject;

public class Backend {
  static void print(String name, Result result) {
    JSONObject outcome = new JSONObject();
    outcome.put("status", result.getStatus().toString());
    boolean isGood = result.getStatus() == Result.Status.SUCCESS;
    if (isGood) outcome.put("answer", new JSONObject(result.getMessage()));
    System.out.println(new JSONArray(List.of(name, outcome)));
  }

  static void printSigned(String name, String answer) {
    System.out.println(new JSONArray(List.of(name, new JSONObject(answer))));
  }

  static Pusher client(String[] args, String secret) {
    Pusher pusher = new Pusher(args[2], args[3], secret);
    pusher.setHost(args[0] + ":" + args[1]);
    pusher.setEncrypted(false);
    return pusher;
  }

  public static void main(String[] args) {
    Pusher pusher = client(args, args[4]);
    List<String> many = new ArrayList<>();
    for (int i = 0; i < 100; i++) many.add("many-" + i);
    List<Event> batch = new ArrayList<>();
    for (int i = 0; i < 10; i++) batch.add(new Event("batch", "e" + i, String.valueOf(i)));
    Map<String, String> count = Map.of("info", "subscription_count");
    Map<String, String> news =
        Map.of("filter_by_prefix", "news", "info", "subscription_count,subscription_count");

    print("trigger", pusher.trigger("news", "order", Map.of("t", "é<&>/💥")));
    print("text", pusher.trigger("news", "order", "hi"));
    print("many", pusher.trigger(many, "e", "m"));
    print("batch", pusher.trigger(batch));
    print("except", pusher.trigger("news", "e", "m", "123.456"));
    print("channels", pusher.get("/channels", news));
    print("nobody", pusher.get("/channels", Map.of("filter_by_prefix", "nobody-")));
    print("channel", pusher.get("/channels/news", count));
    print("users", pusher.get("/channels/presence-room/users"));
    print("users of a public channel", pusher.get("/channels/news/users"));
    String socket = System.getenv("SOCKET_ID");
    PresenceUser member = new PresenceUser(7, Map.of("name", "é<"));
    printSigned("private", pusher.authenticate(socket, "private-x"));
    printSigned("presence", pusher.authenticate(socket, "presence-x", member));
    String signature = System.getenv("WEBHOOK_SIGNATURE");
    Object validity = pusher.validateWebhookSignature(args[3], signature, System.getenv("WEBHOOK_BODY"));
    System.out.println(new JSONArray(List.of("webhook", validity.toString())));
    print("a wrong secret", client(args, "wrong").trigger("news", "e", "m"));
    print("a long name", pusher.trigger("news", "x".repeat(201), "m"));
    print("a long channel", pusher.trigger("x".repeat(256), "e", "m"));
    print("a large event", pusher.trigger("news", "e", "x".repeat(70_000)));
    System.exit(0);
  }
}
