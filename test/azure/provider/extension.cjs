// Signs in as VS Code's own Microsoft provider does, but asks nobody: for tests of what an extension makes of it. One
// person is signed in or not, and gets a token for any scopes from the authority.
const https = require('node:https');
const vscode = require('vscode');

const account = { id: 'person', label: 'person@contoso.com' };

class Provider {
  changed = new vscode.EventEmitter();
  onDidChangeSessions = this.changed.event;
  isSignedIn = false;
  sessions = new Map();

  async getSessions(scopes) {
    if (!this.isSignedIn) return [];
    return scopes ? [await this.session(scopes)] : [...this.sessions.values()];
  }

  async createSession(scopes) {
    const wasSignedIn = this.isSignedIn;
    this.isSignedIn = true;
    this.sessions.clear();
    const session = await this.session(scopes);
    if (!wasSignedIn) this.changed.fire({ added: [session], removed: [], changed: [] });
    return session;
  }

  async removeSession() {
    this.isSignedIn = false;
    const removed = [...this.sessions.values()];
    this.sessions.clear();
    this.changed.fire({ added: [], removed, changed: [] });
  }

  async session(scopes) {
    const key = scopes.join(' ');
    const known = this.sessions.get(key);
    if (known) return known;
    const tenant = scopes.find((scope) => scope.startsWith('VSCODE_TENANT:'))?.slice(14) ?? 'organizations';
    const wanted = scopes.filter((scope) => !scope.startsWith('VSCODE_')).join(' ');
    const form = new URLSearchParams({ grant_type: 'test', scope: wanted });
    const answer = await post(`https://login.microsoftonline.com/${tenant}/oauth2/v2.0/token`, `${form}`);
    if (answer.error) throw new Error(answer.error_description);
    const session = { id: key, accessToken: answer.access_token, account, scopes };
    this.sessions.set(key, session);
    return session;
  }
}

async function post(url, body) {
  const reply = await new Promise((resolve, reject) => {
    https.request(url, { method: 'POST' }, resolve).on('error', reject).end(body);
  });
  let text = '';
  for await (const chunk of reply) text += chunk;
  return JSON.parse(text);
}

exports.activate = ({ subscriptions }) => {
  const provider = new Provider();
  subscriptions.push(
    vscode.authentication.registerAuthenticationProvider('microsoft', 'Microsoft', provider, {
      supportsMultipleAccounts: false,
    }),
    vscode.commands.registerCommand('test.signOut', () => provider.removeSession()),
  );
};
