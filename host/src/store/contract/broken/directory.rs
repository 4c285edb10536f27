//! A directory with a fault.

use super::*;

#[async_trait]
impl<S: Store> Directory for Broken<S> {
    async fn domain(&self, name: &str) -> Result<Option<Domain>> {
        self.store.domain(name).await
    }

    async fn create_domain(&self, domain: Domain) -> Result<Created> {
        if self.has(Fault::CreatesAgain) {
            self.store.remove_domain(&domain.name).await?;
        }
        self.store.create_domain(domain).await
    }

    async fn remove_domain(&self, name: &str) -> Result<bool> {
        let there = self.store.remove_domain(name).await?;
        Ok(there || self.has(Fault::RemovesTheAbsent))
    }

    async fn domains(&self) -> Result<Vec<Domain>> {
        self.store.domains().await
    }

    async fn account(&self, key: &str) -> Result<Option<Account>> {
        let mut account = self.store.account(key).await?;
        if self.has(Fault::LosesKeys) {
            account.iter_mut().for_each(|account| account.scram = None);
        }
        Ok(account)
    }

    async fn create_account(&self, account: Account) -> Result<Created> {
        let key = account.address.to_lowercase();
        match self.fault {
            Some(Fault::CreatesAgain) => {
                self.store.remove_account(&key).await?;
                self.store.create_account(account).await
            }
            Some(Fault::SharesAddresses) => {
                self.store.remove_alias(&key).await?;
                self.store.create_account(account).await
            }
            Some(Fault::InheritsMail) => {
                self.haunt(&key).await?;
                self.store.create_account(account).await
            }
            Some(Fault::CreatesAtOnce) => {
                let there = self.store.account(&key).await?;
                self.crowd.wait().await;
                match there {
                    Some(_) => Ok(Created::Exists),
                    None => self.store.create_account(account).await.map(|_| Created::Yes),
                }
            }
            _ => self.store.create_account(account).await,
        }
    }

    async fn replace_account(&self, before: &Account, after: Account) -> Result<bool> {
        match self.fault {
            Some(Fault::ReplacesTheAbsent) => {
                self.store.create_account(before.clone()).await?;
            }
            Some(Fault::ReplacesTheChanged) => {
                if let Some(found) = self.store.account(&after.address.to_lowercase()).await? {
                    return self.store.replace_account(&found, after).await;
                }
            }
            _ => {}
        }
        self.store.replace_account(before, after).await
    }

    async fn remove_account(&self, key: &str) -> Result<bool> {
        if self.has(Fault::KeepsMailOfTheRemoved) {
            self.haunt(key).await?;
        }
        self.store.remove_account(key).await
    }

    async fn accounts(&self, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
        let more = usize::from(self.has(Fault::PagesTooMuch));
        self.store.accounts(after, limit + more).await
    }

    async fn alias(&self, key: &str) -> Result<Option<Alias>> {
        self.store.alias(key).await
    }

    async fn create_alias(&self, alias: Alias) -> Result<Created> {
        if self.has(Fault::CreatesAgain) {
            self.store.remove_alias(&alias.address).await?;
        }
        self.store.create_alias(alias).await
    }

    async fn replace_alias(&self, before: &Alias, after: Alias) -> Result<bool> {
        if self.has(Fault::ReplacesTheChanged)
            && let Some(found) = self.store.alias(&after.address).await?
        {
            return self.store.replace_alias(&found, after).await;
        }
        self.store.replace_alias(before, after).await
    }

    async fn remove_alias(&self, key: &str) -> Result<bool> {
        self.store.remove_alias(key).await
    }

    async fn aliases(&self, after: Option<&str>, limit: usize) -> Result<Vec<Alias>> {
        self.store.aliases(after, limit).await
    }
}
