<?php
// A backend with the Pusher library for PHP as Laravel calls it, for tests. It takes the arguments of test/python/pusher_backend.py,
// makes the same calls and prints the same lines. PUSHER_PHP_LIBRARY names the folder of the library.
[, $host, $port, $app, $key, $secret] = $argv;
$library = getenv('PUSHER_PHP_LIBRARY');

foreach (glob('/usr/share/php/{GuzzleHttp/autoload.php,Psr/Log/autoload.php}', GLOB_BRACE) as $file) {
    require_once $file;
}
spl_autoload_register(function (string $class) use ($library): void {
    $file = $library . '/src/' . str_replace('\\', '/', substr($class, strlen('Pusher\\'))) . '.php';
    if (str_starts_with($class, 'Pusher\\') && is_file($file)) {
        require_once $file;
    }
});

function client(array $options, string $key, string $secret, string $app): Pusher\Pusher
{
    return new Pusher\Pusher($key, $secret, $app, $options);
}

function run(string $name, callable $call): void
{
    try {
        $outcome = $call();
    } catch (Throwable $error) {
        $outcome = [get_class($error), $error->getCode()];
    }
    echo json_encode([$name, $outcome]), "\n";
}

$options = ['host' => $host, 'port' => (int) $port, 'scheme' => 'http', 'useTLS' => false];
$pusher = client($options, $key, $secret, $app);
$many = array_map(fn ($i) => "many-$i", range(0, 99));
$batch = array_map(fn ($i) => ['channel' => 'batch', 'name' => "e$i", 'data' => (string) $i], range(0, 9));

run('trigger', fn () => $pusher->trigger('news', 'order', ['t' => 'é<&>/💥']));
run('text', fn () => $pusher->trigger('news', 'order', 'hi'));
run('many', fn () => $pusher->trigger($many, 'e', 'm'));
run('batch', fn () => $pusher->triggerBatch($batch));
run('except', fn () => $pusher->trigger('news', 'e', 'm', ['socket_id' => '123.456']));
run('user', fn () => $pusher->sendToUser('42', 'e', 'm'));
run('channels', fn () => $pusher->getChannels(['filter_by_prefix' => 'news', 'info' => 'subscription_count']));
run('nobody', fn () => $pusher->getChannels(['filter_by_prefix' => 'nobody-']));
run('channel', fn () => $pusher->getChannelInfo('news', ['info' => 'subscription_count']));
run('users', fn () => $pusher->getPresenceUsers('presence-room'));
run('users of a public channel', fn () => $pusher->getPresenceUsers('news'));
run('terminate', fn () => $pusher->terminateUserConnections('42'));
$socket = getenv('SOCKET_ID');
$info = ['name' => 'é<'];
run('private', fn () => json_decode($pusher->authorizeChannel('private-x', $socket)));
run('presence', fn () => json_decode($pusher->authorizePresenceChannel('presence-x', $socket, '7', $info)));
run('sign in', fn () => json_decode($pusher->authenticateUser($socket, ['id' => '7', 'user_info' => $info])));
$headers = ['X-Pusher-Key' => $key, 'X-Pusher-Signature' => getenv('WEBHOOK_SIGNATURE')];
run('webhook', fn () => $pusher->webhook($headers, getenv('WEBHOOK_BODY'))->get_events()[0]->name);
run('a wrong secret', fn () => client($options, $key, 'wrong', $app)->trigger('news', 'e', 'm'));
run('a long name', fn () => $pusher->trigger('news', str_repeat('x', 201), 'm'));
run('a long channel', fn () => $pusher->trigger(str_repeat('x', 256), 'e', 'm'));
run('a large event', fn () => $pusher->trigger('news', 'e', str_repeat('x', 70000)));
