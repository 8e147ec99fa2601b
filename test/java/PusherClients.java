// A client of the Pusher library for Java, for tests. Its arguments are the relay's host and port, the key, the secret and the user whom
// its backend knows. It carries out the lines that it is given, and prints a line of JSON for each event; see
// test/python/pusher_client.py.
import com.pusher.client.Pusher;
import com.pusher.client.PusherOptions;
import com.pusher.client.channel.PresenceChannelEventListener;
import com.pusher.client.channel.PrivateChannel;
import com.pusher.client.channel.PusherEvent;
import com.pusher.client.channel.User;
import com.pusher.client.connection.ConnectionEventListener;
import com.pusher.client.connection.ConnectionState;
import com.pusher.client.connection.ConnectionStateChange;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Set;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.json.JSONArray;
import org.json.JSONObject;

public class PusherClients {
  static synchronized void emit(Object... values) {
    System.out.println(new JSONArray(values));
  }

  static String signed(String secret, String text) {
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(secret.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
      return HexFormat.of().formatHex(mac.doFinal(text.getBytes(StandardCharsets.UTF_8)));
    } catch (java.security.GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  /** Prints the events of a channel. */
  static class ChannelPrinter implements PresenceChannelEventListener {
    @Override
    public void onSubscriptionSucceeded(String channel) {
      emit("subscribed", channel);
    }

    @Override
    public void onAuthenticationFailure(String message, Exception error) {
      emit("refused", message);
    }

    @Override
    public void onEvent(PusherEvent event) {
      emit("event", event.getChannelName(), event.getEventName(), event.getData());
    }

    @Override
    public void onUsersInformationReceived(String channel, Set<User> users) {
      emit("members", channel, users.stream().map(User::getId).sorted().toList());
    }

    @Override
    public void userSubscribed(String channel, User user) {
      emit("added", channel, user.getId());
    }

    @Override
    public void userUnsubscribed(String channel, User user) {
      emit("removed", channel, user.getId());
    }
  }

  static void subscribe(Pusher pusher, String channel) {
    ChannelPrinter printer = new ChannelPrinter();
    String[] events = {"order", "client-typing"};
    if (channel.startsWith("presence-")) pusher.subscribePresence(channel, printer, events);
    else if (channel.startsWith("private-")) pusher.subscribePrivate(channel, printer, events);
    else pusher.subscribe(channel, printer, "order", "pusher:cache_miss");
  }

  static void trigger(Pusher pusher, String name) {
    PrivateChannel channel =
        name.startsWith("presence-") ? pusher.getPresenceChannel(name) : pusher.getPrivateChannel(name);
    channel.trigger("client-typing", "{\"n\":1}");
  }

  public static void main(String[] args) throws Exception {
    String key = args[2];
    String secret = args[3];
    String member = new JSONObject().put("user_id", args[4]).toString();
    PusherOptions options =
        new PusherOptions()
            .setHost(args[0])
            .setWsPort(Integer.parseInt(args[1]))
            .setUseTLS(false)
            .setMaxReconnectionAttempts(10_000)
            .setChannelAuthorizer(
                (channel, socketId) -> {
                  JSONObject answer = new JSONObject();
                  String text = socketId + ":" + channel;
                  if (channel.startsWith("presence-")) {
                    text += ":" + member;
                    answer.put("channel_data", member);
                  }
                  return answer.put("auth", key + ":" + signed(secret, text)).toString();
                });
    Pusher pusher = new Pusher(key, options);
    pusher.connect(
        new ConnectionEventListener() {
          @Override
          public void onConnectionStateChange(ConnectionStateChange change) {
            String id = pusher.getConnection().getSocketId();
            emit("state", change.getCurrentState().toString().toLowerCase(), id == null ? "" : id);
          }

          @Override
          public void onError(String message, String code, Exception error) {
            emit("error", code == null ? "" : code);
          }
        },
        ConnectionState.ALL);
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] words = line.split(" ");
      if (words[0].equals("subscribe")) subscribe(pusher, words[1]);
      else trigger(pusher, words[1]);
    }
    System.exit(0);
  }
}
