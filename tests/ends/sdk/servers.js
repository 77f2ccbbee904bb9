// node servers.js PACKAGES URL KEY: server-side SDKs, each in its own words.
const [, , packages, url, key] = process.argv;
const load = (name) => require(`${packages}/node_modules/${name}`);

const rudderPackage = load('@rudderstack/rudder-sdk-node');
for (const gzip of [true, false]) {
  const rudder = new (rudderPackage.default ?? rudderPackage)(key, { dataPlaneUrl: url, flushAt: 3, flushInterval: 100, gzip });
  const userId = gzip ? 'rudder-gzip' : 'rudder-plain';
  rudder.identify({ userId, traits: { email: `${userId}@Shop.CN`, plan: 'pro' } });
  rudder.track({ userId, event: 'Rudder Tracked', properties: { n: 1 } });
  rudder.page({ userId, name: 'Home' });
  rudder.group({ userId, groupId: 'g1' });
  rudder.alias({ userId, previousId: `${userId}-before` });
  rudder.flush();
}

const sensorsPackage = load('sa-sdk-node');
const sensors = new (sensorsPackage.default ?? sensorsPackage)();
sensors.submitTo(`${url}/sa?project=default&token=${key}`);
sensors.track('node-1', 'NodeBuy', { price: 3 });
sensors.trackSignup('node-user', 'node-1', {});
sensors.profileSet('node-user', { city: '上海' });

const { PostHog } = load('posthog-node');
const posthog = new PostHog(key, { host: url, flushAt: 2, flushInterval: 100 });
posthog.capture({ distinctId: 'ph-1', event: 'PostHog Captured', properties: { n: 1 } });
posthog.identify({ distinctId: 'ph-1', properties: { plan: 'pro' } });
posthog.alias({ distinctId: 'ph-1', alias: 'ph-before' });
posthog.shutdown().then(() => setTimeout(() => process.exit(0), 2000));
